"""What the figures show: their numbers, their names and their files."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from adapters_tf.study.ablation import Ablation
from adapters_tf.study.report import panels
from adapters_tf.study.report.analysis import Confusion, tradeoff
from adapters_tf.study.report.figures import (
    COLOURS,
    MARKS,
    draw_ablation,
    draw_confusion,
    draw_tradeoff,
    save,
)
from adapters_tf.study.report.labels import METHODS
from adapters_tf.study.report.panels import parameter_panels, rate_panels, size_panels


def legend(figure):
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def test_every_method_has_its_colour_and_mark():
    assert set(METHODS) <= set(COLOURS) and set(COLOURS) == set(MARKS)
    looks = {(COLOURS[method], MARKS[method]) for method in METHODS}
    assert len(looks) == len(METHODS)


def test_sizes(study):
    figure = panels.draw_sizes(size_panels(study))
    first, second = figure.axes
    assert first.get_title(loc="left") == "a, accuracy (%)"
    assert second.get_title(loc="left") == "b, F1 (%)"
    full = first.lines[0]
    line, _, bars = first.containers[0]
    assert full.get_ydata() == pytest.approx([82, 82])
    assert list(line.get_xdata()) == [8, 64]
    assert line.get_ydata() == pytest.approx([79, 80])
    ends = [segment[:, 1] for segment in bars[0].get_segments()]
    np.testing.assert_allclose(ends, [[78, 80], [79, 81]])
    figure.draw_without_rendering()
    assert [t.get_text() for t in first.get_xticklabels()] == ["8", "64"]
    assert legend(figure) == ["adapters", "full fine-tuning"]


def test_one_panel_with_one_line_has_no_legend(trial):
    results = [
        trial("a", "adapters", 0.5),
        trial("a", "adapters", 0.6, bottleneck_dim=64),
    ]
    figure = panels.draw_sizes(size_panels(results))
    assert legend(figure) == []


def test_parameters(trial):
    results = [
        trial("a task whose name is longer than its panel", "full", 0.9),
        trial("a task whose name is longer than its panel", "top_n", 0.7),
        trial("a task whose name is longer than its panel", "head", 0.5),
    ]
    figure = panels.draw_parameters(parameter_panels(results))
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_title(loc="left") == "a task whose name is lo…\naccuracy (%)"
    assert legend(figure) == ["fine-tuning (top blocks, full)", "head only"]


def test_numbers_on_an_axis_do_not_overlap(trial):
    rates = (("full", (5e-5, 1e-4, 2e-4)), ("adapters", (5e-4, 1e-3, 2e-3)))
    results = [
        trial(task, method, 0.7, learning_rate=rate)
        for task in "abcd"
        for method, values in rates
        for rate in values
    ]
    figure = panels.draw_rates(rate_panels(results))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        labels = axes.get_xticklabels()
        boxes = [t.get_window_extent(canvas.get_renderer()) for t in labels]
        assert len(boxes) > 2
        assert all(a.x1 + a.height / 2 < b.x0 for a, b in itertools.pairwise(boxes))


def test_tradeoff(study):
    points = tradeoff(study)
    figure = draw_tradeoff(points)
    (axes,) = figure.axes
    assert legend(figure) == ["adapters", "full fine-tuning"]
    line = next(x for x in axes.lines if x.get_label() == "adapters")
    assert list(line.get_xdata()) == [30, 110]
    # Size 8: -3 and +2 points; size 64: -2 and -4.
    assert line.get_ydata() == pytest.approx([-0.5, -3])
    assert axes.get_ylabel() == "score minus full fine-tuning (points)"


def test_ablation(ablation):
    figure = draw_ablation(Ablation.from_dict(ablation))
    axes, bar = figure.axes
    (mesh,) = axes.collections
    values = mesh.get_array().reshape(3, 3)
    assert values[0, 2] == pytest.approx(-50) and values[1, 1] == pytest.approx(-2)
    assert values.mask.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    texts = {t.get_position(): t.get_text() for t in axes.texts if t.get_text()}
    assert texts == {
        **{(0, 0): "0", (1, 0): "−5", (2, 0): "−50"},
        **{(1, 1): "−2", (2, 1): "−38", (2, 2): "−25"},
    }
    assert axes.yaxis_inverted()
    assert bar.get_ylabel() == "relative change (%) of the score"


def test_labels_of_an_ablation_are_not_cut_off(ablation, tmp_path):
    spans = [(i, j) for j in range(6) for i in range(j + 1)]
    ablation["num_layers"] = 6
    ablation["spans"] = [
        {"first": i, "last": j, "dev": {"accuracy": 0.8 - 0.024 * (j - i + 1)}}
        for i, j in spans
    ]
    figure = draw_ablation(Ablation.from_dict(ablation))
    save(figure, tmp_path / "ablation")
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert 0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height


def test_an_ablation_without_any_change_is_drawn(ablation):
    ablation["spans"] = [{"first": 0, "last": 0, "dev": {"accuracy": 0.8}}]
    figure = draw_ablation(Ablation.from_dict(ablation))
    figure.draw_without_rendering()
    low, high = figure.axes[0].collections[0].get_clim()
    assert low < high == 0


def test_confusion_shows_counts_and_shares_of_the_class():
    counts = np.array([[1500, 500], [0, 0]])
    confusion = Confusion(
        "a", 8, 0, 1, ("$no$", "a very long name of a class, too long"), counts
    )
    figure = draw_confusion(confusion)
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["1,500\n75%", "500\n25%", "0\n0%", "0\n0%"]
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert names == ["$no$", "a very long name of a c…"]
    # A single $ pair would be read as a formula, which this is not.
    figure.draw_without_rendering()


def test_many_classes_have_no_numbers():
    labels = tuple(map(str, range(60)))
    figure = draw_confusion(Confusion("a", 8, 0, 1, labels, np.eye(60, dtype=int)))
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_yticklabels()) < 60


def test_files_are_the_same_each_time(study, tmp_path):
    points = tradeoff(study)
    first = save(draw_tradeoff(points), tmp_path / "one")
    second = save(draw_tradeoff(points), tmp_path / "two")
    assert first == second == (tmp_path / "one.svg").read_bytes()
    png = (tmp_path / "one.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert png == (tmp_path / "two.png").read_bytes()
    # Letters are shapes: nothing depends on fonts of the reader.
    assert b"<text" not in first and b"<script" not in first
