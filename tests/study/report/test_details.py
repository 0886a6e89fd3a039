"""Learning rates, trade-off, panels and classes, against values computed by hand."""

import numpy as np
import pytest

from adapters_tf.study.report.analysis import (
    class_scores,
    confusions,
    point_name,
    rate_effects,
    spread_of,
    tradeoff,
)
from adapters_tf.study.report.comparison import compare
from adapters_tf.study.report.panels import (
    parameter_panels,
    rate_panels,
    scale_panels,
    size_panels,
)


def test_learning_rates_are_compared_with_the_best_of_each_task(trial):
    results = [
        trial("a", "full", 0.80, learning_rate=1e-5),
        trial("a", "full", 0.70, learning_rate=1e-4),
        trial("a", "full", 0.90, learning_rate=1e-4, epochs=20),
        trial("b", "full", 0.60, learning_rate=1e-5),
        trial("b", "full", 0.54, learning_rate=1e-4),
        # Left out: c lacks a rate, and head has only one.
        trial("c", "full", 0.10, learning_rate=1e-4),
        trial("a", "head", 0.10),
    ]
    low, high = rate_effects(results)
    assert (low.method, low.rate, low.tasks) == ("full", 1e-5, ("a", "b"))
    assert low.score.mean == pytest.approx(0.70)
    # Behind by 0.1 on a and by nothing on b.
    assert low.behind.mean == pytest.approx(0.05)
    assert low.behind.sem == pytest.approx(0.05)
    assert high.behind.mean == pytest.approx(0.03)
    assert (low.best_on, high.best_on) == (1, 1)
    assert spread_of([low, high], "full") == pytest.approx(0.05)
    assert spread_of([low, high], "head") is None


def test_tradeoff_is_of_percentiles_over_tasks(trial):
    results = [trial("d", "adapters", 0.5)]  # has no full fine-tuning
    for task, gap in (("a", 0.0), ("b", 0.1), ("c", 0.2)):
        results += [
            trial(task, "full", 0.9),
            trial(task, "adapters", 0.9 - gap),
            trial(task, "top_n", 0.8, trained_parameters=300, top_n=3),
            trial(task, "top_n", 0.7, trained_parameters=100, top_n=1),
        ]
    small, one, three, full = tradeoff(results)
    assert (small.method, small.size, small.tasks) == ("adapters", 8, 3)
    # Linear interpolation between 0, -10 and -20 points.
    assert small.low == pytest.approx(-0.16)
    assert small.median == pytest.approx(-0.10)
    assert small.high == pytest.approx(-0.04)
    assert (one.size, one.trained, three.trained) == (1, 100, 300)
    assert one.median == pytest.approx(-0.2)
    assert (full.low, full.median, full.high, full.trained) == (0, 0, 0, 990)
    names = [point_name(p) for p in (small, one, three, full)]
    assert names == ["adapters 8", "top 1 block", "top 3 blocks", "full fine-tuning"]


def test_without_full_fine_tuning_there_is_no_tradeoff(trial):
    assert tradeoff([trial("a", "adapters", 0.5), trial("b", "full", 0.5)]) == []


def points(line):
    return [(x, round(score.mean, 6)) for x, score in line.points]


def test_size_panels(study):
    first, second = size_panels(study)
    assert (first.task, first.metric, second.task) == ("a", "accuracy", "b")
    assert points(first.series[0]) == [(8, 0.79), (64, 0.8)]
    assert first.full.mean == pytest.approx(0.82)


def test_rate_panels_have_methods_with_several_rates(study):
    (panel,) = rate_panels(study)
    assert (panel.task, panel.full) == ("a", None)
    (line,) = panel.series
    assert (line.key, points(line)) == ("full", [(1e-4, 0.82), (1e-3, 0.7)])


def test_parameter_panels_end_fine_tuning_with_all_parameters(trial):
    results = [
        trial("a", "full", 0.9),
        trial("a", "top_n", 0.8, trained_parameters=200, top_n=2),
        trial("a", "top_n", 0.7, trained_parameters=100, top_n=1),
        trial("a", "adapters", 0.85),
        trial("a", "layer_norm", 0.6),
        trial("b", "full", 0.9),  # nothing to compare with
    ]
    (panel,) = parameter_panels(results)
    lines = {line.key: points(line) for line in panel.series}
    assert lines == {
        "adapters": [(20, 0.85)],
        "fine_tuning": [(100, 0.7), (200, 0.8), (990, 0.9)],
        "layer_norm": [(5, 0.6)],
    }


def test_scale_panels_leave_out_settings_with_fewer_scales(trial):
    results = [
        trial("a", "adapters", 0.7, initializer_stddev=1e-4),
        trial("a", "adapters", 0.8),
        trial("a", "adapters", 0.3, initializer_stddev=1.0),
        # Better, but of one scale only.
        trial("a", "adapters", 0.9, bottleneck_dim=64),
        trial("b", "adapters", 0.9),
    ]
    (panel,) = scale_panels(results)
    assert panel.task == "a"
    assert points(panel.series[0]) == [(1e-4, 0.7), (1e-2, 0.8), (1.0, 0.3)]


def test_confusion_is_of_the_best_seed_of_the_selected_adapters(trial):
    def one(score, seed, counts, **given):
        confusion = {"labels": ["no", "yes"], "counts": counts}
        return trial("a", "adapters", score, seed, confusion=confusion, **given)

    results = [
        one(0.9, 0, [[9, 1], [1, 9]], bottleneck_dim=64),
        one(0.8, 1, [[8, 2], [2, 8]], bottleneck_dim=64),
        one(0.7, 0, [[7, 3], [3, 7]]),
        one(0.7, 1, [[7, 3], [3, 7]]),
        trial("b", "adapters", 0.7, kind="regression"),
    ]
    (found,) = confusions(compare(results))
    assert (found.task, found.size, found.seed, found.seeds) == ("a", 64, 0, 2)
    assert found.counts.tolist() == [[9, 1], [1, 9]]
    assert found.accuracy == pytest.approx(0.9)


def test_class_scores():
    no, yes, never = class_scores(
        ["no", "yes", "never"], np.array([[6, 2, 0], [3, 9, 0], [0, 0, 0]])
    )
    assert (no.precision, no.recall, no.rows) == (pytest.approx(6 / 9), 0.75, 8)
    assert no.f1 == pytest.approx(12 / 17)
    assert (yes.precision, yes.recall) == (pytest.approx(9 / 11), 0.75)
    assert (yes.f1, yes.rows) == (pytest.approx(18 / 23), 12)
    # Neither there nor predicted.
    assert (never.precision, never.recall, never.f1, never.rows) == (0, 0, 0, 0)
