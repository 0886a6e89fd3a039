"""Columns, averages, gaps and costs, against values computed by hand."""

import pytest

from adapters_tf.errors import UserError
from adapters_tf.study.report.analysis import cost_of, gap_to_full
from adapters_tf.study.report.comparison import (
    compare,
    main_trials,
    on_test_rows,
    rectangle,
)
from adapters_tf.study.report.tables import score_table


def test_columns_are_those_of_the_trials(study):
    comparison = compare(study)
    assert [c.key for c in comparison.columns] == [
        *("majority", "full", "adapters-8", "adapters"),
    ]
    assert comparison.tasks == comparison.common == ("a", "b")
    assert comparison.metrics == {"a": "accuracy", "b": "f1"}
    assert comparison.base_parameters == 1000


def test_scores_are_of_the_selected_settings(study):
    comparison = compare(study)
    full = comparison.column("full")
    assert full.estimates["a"].mean == pytest.approx(0.82)
    assert full.estimates["a"].sem == pytest.approx(0.02)
    assert full.selected["a"].setting.learning_rate == 1e-4
    assert full.compared == {"a": 2, "b": 1}
    assert full.over(("a", "b")).mean == pytest.approx(0.71)
    assert full.over(("a", "b")).sem == pytest.approx(0.01)


def test_the_fixed_size_has_the_best_average_and_the_other_is_the_best_of_each_task(
    study,
):
    comparison = compare(study)
    # Size 8: (0.79 + 0.62) / 2; size 64: (0.80 + 0.56) / 2.
    fixed, best = comparison.adapters
    assert fixed.title == "adapters 8"
    assert best.selected["a"].setting.bottleneck_dim == 64
    assert best.selected["b"].setting.bottleneck_dim == 8
    assert best.estimates["a"].mean == pytest.approx(0.80)
    assert best.compared == {"a": 2, "b": 2}


def test_sizes_that_are_asked_for(study):
    keys = [c.key for c in compare(study, sizes=[64, 8]).adapters]
    assert keys == ["adapters-64", "adapters-8", "adapters"]
    with pytest.raises(UserError, match=r"which has 8, 64. Received: 32, 128"):
        compare(study, sizes=[8, 32, 128])


def test_gap_has_the_error_of_the_tasks_and_that_of_the_seeds(study):
    comparison = compare(study)
    gap = gap_to_full(comparison, comparison.column("adapters-8"))
    assert gap.by_task["a"].mean == pytest.approx(0.03)
    assert gap.by_task["a"].sem == pytest.approx(0.05**0.5 / 10)
    assert gap.by_task["b"].mean == pytest.approx(-0.02)
    assert gap.over_tasks.mean == gap.over_seeds.mean == pytest.approx(0.005)
    # 0.03 and -0.02 are 0.025 from their mean: stdev 0.025 sqrt(2), over sqrt(2).
    assert gap.over_tasks.sem == pytest.approx(0.025)
    assert gap.over_seeds.sem == pytest.approx(0.05**0.5 / 20)


def test_gap_needs_both(study, trial):
    adapters = [r for r in study if r.setting.method == "adapters"]
    comparison = compare(adapters)
    assert gap_to_full(comparison, comparison.adapters[0]) is None
    comparison = compare([*adapters, trial("c", "full", 0.9)])
    assert gap_to_full(comparison, comparison.adapters[0]) is None


def test_costs_are_the_papers_accounting(study, trial):
    results = [
        *study,
        trial("a", "no_bert", 0.6),
        trial("a", "layer_norm", 0.6),
    ]
    comparison = compare(results)

    def cost(key):
        return cost_of(comparison, comparison.column(key))

    # (20 + 40) / 2 of 1,000; 1 + 2 x 0.03.
    assert cost("adapters-8").share == pytest.approx(0.03)
    assert cost("adapters-8").total == pytest.approx(1.06)
    # 100 for a and 40 for b.
    assert cost("adapters").share == pytest.approx(0.07)
    assert cost("adapters").total == pytest.approx(1.14)
    assert cost("full").share == pytest.approx(0.99)
    assert cost("full").total == 2.0
    assert cost("layer_norm").total == pytest.approx(1.01)
    # Without a base: two models of its own.
    assert cost("no_bert").total == pytest.approx(0.1)


def test_no_average_is_over_tasks_that_lack_a_column(study, trial):
    comparison = compare([*study, trial("b", "head", 0.5, metric="f1")])
    assert comparison.tasks == ("a", "b")
    assert comparison.common == ("b",)


def test_one_size_has_one_column(trial):
    results = [trial("a", "adapters", 0.7), trial("a", "top_n", 0.6, top_n=2)]
    titles = [column.title for column in compare(results).columns]
    assert titles == ["majority", "top 2 fine-tuned", "adapters 8"]


def test_a_sweep_of_initial_scales_does_not_compete(trial):
    usual = trial("a", "adapters", 0.7)
    better = trial("a", "adapters", 0.9, initializer_stddev=1e-4)
    full = trial("a", "full", 0.8)
    assert main_trials([better, usual, full]) == [usual, full]
    assert compare([better, usual]).adapters[0].estimates["a"].mean == 0.7
    # Where the default was not run, the scale with the most trials is the main one.
    other = trial("b", "adapters", 0.5, initializer_stddev=0.1)
    two = [
        trial("b", "adapters", 0.4, seed, initializer_stddev=1e-4) for seed in (0, 1)
    ]
    assert main_trials([usual, other, *two]) == [usual, *two]


def test_rectangle_is_the_largest_of_which_every_combination_was_run():
    has = {"a": (8, 64, 256), "b": (8, 64), "c": (64, 8), "d": (2,)}
    # 3 tasks of 2 sizes, against 1 of 3 and 1 of 1.
    assert rectangle(has) == (("a", "b", "c"), (8, 64))
    assert rectangle({}) == ((), ())


def test_held_out_rows_select_nothing(trial):
    def of(task, method, dev, test, seed=0, **given):
        about = {"dev_test": {"accuracy": test}} if test is not None else {}
        return trial(task, method, dev, seed, about=about, **given)

    results = [
        # Better on the dev rows, worse on the test rows.
        of("a", "full", 0.8, 0.5, learning_rate=1e-4),
        of("a", "full", 0.8, 0.7, 1, learning_rate=1e-4),
        of("a", "full", 0.6, 0.9, learning_rate=1e-3),
        of("a", "adapters", 0.7, 0.4),
        of("b", "full", 0.9, None),
        of("b", "adapters", 0.9, None),
        of("a", "no_bert", 0.3, None),
    ]
    tested = on_test_rows(compare(results))
    assert tested.tasks == ("a",)
    assert [c.key for c in tested.columns] == ["full", "adapters-8"]
    full = tested.column("full").estimates["a"]
    # The mean of 0.5 and 0.7, and 0.1414 / sqrt(2).
    assert (full.mean, full.sem) == (pytest.approx(0.6), pytest.approx(0.1))
    table = score_table(tested, "test")
    assert table.name == "test_scores"
    assert "test rows" in table.caption and "selected on the dev rows" in table.caption
    assert on_test_rows(compare(results[4:6])) is None
