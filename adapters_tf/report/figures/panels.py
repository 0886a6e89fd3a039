"""Figures with a panel for each task, lines along a setting in each."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from adapters_tf.report.figures.style import (
    COLOURS,
    FULL_WIDTH,
    MARKS,
    new_figure,
    parameter_axis,
    shortened,
    style,
    tried_values_axis,
)
from adapters_tf.report.metric_names import METHODS, metric_label, rate_text
from adapters_tf.report.series import Panel

_COLUMNS = 4
_LONGEST_TITLE = 24


def draw_sizes(panels: Sequence[Panel]) -> Figure:
    """Score against the adapters' size."""

    def axis(axes: Axes, values: list[float]) -> None:
        axes.set_xscale("log", base=2)
        tried_values_axis(
            axes.xaxis, values, FuncFormatter(lambda value, _: f"{value:g}")
        )

    return _draw(panels, "units of an adapter's bottleneck (log scale)", axis)


def draw_rates(panels: Sequence[Panel]) -> Figure:
    """Score against the learning rate."""
    return _draw(panels, "learning rate (log scale)", _tried_axis)


def draw_scales(panels: Sequence[Panel]) -> Figure:
    """Score against the initial scale of the adapters."""
    label = "standard deviation of the adapters' initial weights (log scale)"
    return _draw(panels, label, _tried_axis)


def draw_parameters(panels: Sequence[Panel]) -> Figure:
    """Score against the number of trained parameters."""

    def axis(axes: Axes, values: list[float]) -> None:
        parameter_axis(axes)

    return _draw(panels, "trained parameters for a task (log scale)", axis)


def _tried_axis(axes: Axes, values: list[float]) -> None:
    axes.set_xscale("log")
    tried_values_axis(
        axes.xaxis, values, FuncFormatter(lambda value, _: rate_text(value))
    )


def _draw(
    panels: Sequence[Panel],
    x_label: str,
    set_axis: Callable[[Axes, list[float]], None],
) -> Figure:
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    width = FULL_WIDTH if columns == _COLUMNS else 0.6 + 2.2 * columns
    height = (1.5 if columns == _COLUMNS else 1.9) * rows + 0.7
    with style():
        figure = new_figure(max(width, 3.6), height)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel)
            set_axis(axes, [x for line in panel.series for x, _ in line.points])
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        figure.supxlabel(x_label, fontsize=8)
        figure.supylabel("score on the dev rows", fontsize=8)
        _legend(figure, panels)
    return figure


def _panel(axes: Axes, panel: Panel) -> None:
    axes.set_title(_title(panel), loc="left")
    if panel.full is not None:
        axes.axhline(100 * panel.full.mean, **_FULL_LINE)
    for line in panel.series:
        axes.errorbar(
            [x for x, _ in line.points],
            [100 * score.mean for _, score in line.points],
            # NaN draws none.
            [100 * (math.nan if s.sem is None else s.sem) for _, s in line.points],
            color=COLOURS[line.key],
            marker=MARKS[line.key],
        )
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], min_n_ticks=3))
    axes.margins(x=0.08, y=0.12)


def _title(panel: Panel) -> str:
    title = f"{panel.task}, {metric_label(panel.metric)}"
    if len(title) <= _LONGEST_TITLE:
        return title
    return f"{shortened(panel.task, _LONGEST_TITLE)}\n{metric_label(panel.metric)}"


_FULL_LINE: dict[str, Any] = {
    "color": "#555555",
    "linestyle": (0, (4, 2)),
    "linewidth": 1,
}


def _legend(figure: Figure, panels: Sequence[Panel]) -> None:
    lines = [line for panel in panels for line in panel.series]
    labels = {line.key: line.label for line in lines}
    joined = {line.key for line in lines if len(line.points) > 1}
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[key],
            marker=MARKS[key],
            label=label,
            linestyle="-" if key in joined else "",
        )
        for key, label in labels.items()
    ]
    if any(panel.full is not None for panel in panels):
        handles.append(Line2D([], [], label=METHODS["full"], **_FULL_LINE))
    if len(handles) > 1:
        columns = min(len(handles), 5 if len(panels) >= _COLUMNS else 2)
        figure.legend(handles=handles, loc="outside upper center", ncols=columns)
