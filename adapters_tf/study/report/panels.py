"""Figures with one panel a task: scores along one setting."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from adapters_tf.study.grid import Setting
from adapters_tf.study.report.comparison import main_trials, of_method, task_names
from adapters_tf.study.report.figures import (
    COLOURS,
    FULL_WIDTH,
    MARKS,
    new_figure,
    parameter_axis,
    shortened,
    style,
    tried_values_axis,
)
from adapters_tf.study.report.labels import METHODS, metric_label, rate_text
from adapters_tf.study.results import Estimate, Result, select


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a panel.

    Attributes:
        key: The key of its colour and mark: a tuning method, or `"fine_tuning"` for the
            top n blocks with full fine-tuning as the last point.
        label: Its name in the legend.
        points: Pairs of x and score, x ascending.
    """

    key: str
    label: str
    points: tuple[tuple[float, Estimate], ...]


@dataclasses.dataclass(frozen=True)
class Panel:
    """The lines of one task.

    Attributes:
        task: Name of the task.
        metric: Its first metric.
        series: Its lines.
        full: The score of full fine-tuning, for comparison.
    """

    task: str
    metric: str
    series: tuple[Series, ...]
    full: Estimate | None = None


def size_panels(results: Sequence[Result]) -> list[Panel]:
    """Score against adapter size, for tasks with several sizes."""
    trials = main_trials(results)

    def series(own: list[Result]) -> list[Series]:
        adapters = of_method(own, "adapters")
        return [_series("adapters", adapters, lambda s: s.bottleneck_dim)]

    return _panels(trials, series, with_full=True)


def rate_panels(results: Sequence[Result]) -> list[Panel]:
    """Score against learning rate, a line for each method with several rates."""
    trials = [r for r in main_trials(results) if r.setting.learning_rate is not None]

    def series(own: list[Result]) -> list[Series]:
        return [
            _series(method, of_method(own, method), lambda s: s.learning_rate)
            for method in METHODS
        ]

    return _panels(trials, series)


def scale_panels(results: Sequence[Result]) -> list[Panel]:
    """Score against the initial scale of the adapters (figure 6, right).

    The points are of the settings with the most scales, so that each scale is selected
    from as many trials.
    """

    def series(own: list[Result]) -> list[Series]:
        scales: dict[Setting, set[float | None]] = {}
        adapters = of_method(own, "adapters")
        for result in adapters:
            scale = result.setting.initializer_stddev
            scales.setdefault(_without_scale(result.setting), set()).add(scale)
        most = max(map(len, scales.values()), default=0)
        kept = [r for r in adapters if len(scales[_without_scale(r.setting)]) == most]
        return [_series("adapters", kept, lambda s: s.initializer_stddev)]

    return _panels(results, series)


def parameter_panels(results: Sequence[Result]) -> list[Panel]:
    """Score against trained parameters (figures 4 and 5).

    For tasks with adapters or trained top blocks of several sizes.
    """
    trials = main_trials(results)
    label = METHODS["full"]
    if of_method(trials, "top_n"):
        label = "fine-tuning (top blocks, full)"

    def series(own: list[Result]) -> list[Series]:
        tuned = [r for r in own if r.setting.method in ("top_n", "full")]
        return [
            _by_parameters("adapters", METHODS["adapters"], of_method(own, "adapters")),
            _by_parameters("fine_tuning", label, tuned),
            *(
                _by_parameters(method, METHODS[method], of_method(own, method))
                for method in ("layer_norm", "head")
            ),
        ]

    return [
        panel
        for panel in _panels(trials, series, keep_single=True)
        if any(
            len(s.points) > 1 and s.key in ("adapters", "fine_tuning")
            for s in panel.series
        )
    ]


def _panels(
    trials: Sequence[Result],
    series: Callable[[list[Result]], list[Series]],
    with_full: bool = False,
    keep_single: bool = False,
) -> list[Panel]:
    panels = []
    fewest = 1 if keep_single else 2
    for task in task_names(trials):
        own = [r for r in trials if r.setting.task == task]
        lines = tuple(s for s in series(own) if len(s.points) >= fewest)
        full = select(of_method(own, "full"), lambda setting: "full").get("full")
        if lines:
            reference = full.estimate if with_full and full else None
            panels.append(Panel(task, own[0].metric, lines, reference))
    return panels


def _series(
    method: str, trials: Sequence[Result], x: Callable[[Setting], Any]
) -> Series:
    chosen = select(trials, x)
    points = sorted((value, chosen[value].estimate) for value in chosen)
    return Series(method, METHODS[method], tuple(points))


def _by_parameters(key: str, label: str, trials: Sequence[Result]) -> Series:
    chosen = select(trials, lambda setting: setting.variant)
    points = [(s.results[0].trained_parameters, s.estimate) for s in chosen.values()]
    return Series(key, label, tuple(sorted(points, key=lambda point: point[0])))


def _without_scale(setting: Setting) -> Setting:
    # Not `None`, which means the default scale.
    return dataclasses.replace(setting, seed=0, initializer_stddev=0.0)


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
