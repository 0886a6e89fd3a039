"""The trade-off between score and trained parameters (figures 1 and 3)."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapters_tf.report.figures.style import (
    COLOURS,
    MARKS,
    new_figure,
    parameter_axis,
    style,
)
from adapters_tf.report.metric_names import METHODS
from adapters_tf.report.tradeoff import TradeoffPoint

_NAMES = METHODS | {"top_n": "fine-tuning of the top blocks"}


def draw_tradeoff(points: Sequence[TradeoffPoint]) -> Figure:
    """Median and percentiles over the tasks, against trained parameters."""
    with style():
        figure = new_figure(5.2, 3.4)
        axes = figure.subplots()
        axes.axhline(0, color="#555555", linewidth=0.8)
        for method in dict.fromkeys(point.method for point in points):
            _curve(axes, method, [p for p in points if p.method == method])
        axes.set_xlabel("trained parameters for a task (log scale)")
        axes.set_ylabel("score minus full fine-tuning (points)")
        axes.margins(x=0.05, y=0.08)
        parameter_axis(axes)
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def _curve(axes: Axes, method: str, points: list[TradeoffPoint]) -> None:
    colour = COLOURS["fine_tuning" if method == "top_n" else method]
    mark = MARKS["fine_tuning" if method == "top_n" else method]
    x = [point.trained for point in points]
    median, low, high = (
        [100 * getattr(point, name) for point in points]
        for name in ("median", "low", "high")
    )
    if method == "full":
        axes.plot(
            x,
            median,
            color="#000000",
            marker="*",
            markersize=9,
            linestyle="",
            label=_NAMES[method],
        )
    elif len(points) > 1:
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, median, color=colour, marker=mark, label=_NAMES[method])
    else:
        # Percentiles over one task would be bars of no length.
        bars = None
        if points[0].tasks > 1:
            bars = [[median[0] - low[0]], [high[0] - median[0]]]
        axes.errorbar(
            x,
            median,
            bars,
            color=colour,
            marker=mark,
            linestyle="",
            label=_NAMES[method],
        )
