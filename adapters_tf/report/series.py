"""What the figures with one panel a task show: scores along a setting."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from adapters_tf.report.estimate import Estimate
from adapters_tf.report.metric_names import METHODS
from adapters_tf.report.trials import main_trials, of_method, task_names
from adapters_tf.study.results import Result
from adapters_tf.study.selection import Selected, select
from adapters_tf.study.setting import Setting


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a panel.

    Attributes:
        key: What gives it its colour: a tuning method, or `"fine_tuning"` for the
            top n blocks with full fine-tuning as their last point.
        label: Its name in the legend.
        points: x and score, x ascending.
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
        full: The score of full fine-tuning, to compare with.
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

    Only settings that were run with the most scales: others would have been selected
    from fewer trials at one scale than at another.
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
            reference = _estimate(full) if with_full and full else None
            panels.append(Panel(task, own[0].metric, lines, reference))
    return panels


def _series(
    method: str, trials: Sequence[Result], x: Callable[[Setting], Any]
) -> Series:
    chosen = select(trials, x)
    points = sorted((value, _estimate(chosen[value])) for value in chosen)
    return Series(method, METHODS[method], tuple(points))


def _by_parameters(key: str, label: str, trials: Sequence[Result]) -> Series:
    chosen = select(trials, lambda setting: setting.variant)
    points = [(s.results[0].trained_parameters, _estimate(s)) for s in chosen.values()]
    return Series(key, label, tuple(sorted(points, key=lambda point: point[0])))


def _estimate(selected: Selected) -> Estimate:
    return Estimate(selected.mean, selected.sem)


def _without_scale(setting: Setting) -> Setting:
    # A fixed one, as `None` would be set to the default again.
    return dataclasses.replace(setting, seed=0, initializer_stddev=0.0)
