"""The methods beside one another: the columns of the paper's tables 1 and 2."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from adapters_tf.errors import UserError
from adapters_tf.report.estimate import Estimate, average
from adapters_tf.report.metric_names import METHODS
from adapters_tf.report.trials import (
    main_trials,
    of_method,
    rectangle,
    sizes_by_task,
    task_names,
)
from adapters_tf.study.results import Result
from adapters_tf.study.selection import Selected, by_setting, select


@dataclasses.dataclass(frozen=True)
class Column:
    """A method and what it reached on each task.

    Attributes:
        key: `"majority"`, a tuning method, or `"adapters-64"` for one size of them.
            `"adapters"` is the best size of each task.
        title: Its heading.
        estimates: The dev score of each task, a fraction, over the seeds.
        selected: The setting that was selected for each task; none for `"majority"`.
        compared: For each task, the number of settings it was selected from.
    """

    key: str
    title: str
    estimates: dict[str, Estimate]
    selected: dict[str, Selected] = dataclasses.field(default_factory=dict)
    compared: dict[str, int] = dataclasses.field(default_factory=dict)

    def over(self, tasks: Iterable[str]) -> Estimate:
        """The mean over these tasks, with the error that the seeds give it."""
        return average(self.estimates[task] for task in tasks)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All columns of a study.

    Attributes:
        tasks: Names of the tasks, in the order of their first trials.
        metrics: The first metric of each task.
        columns: Those that the study has trials for.
        base_parameters: Of the base; `None` where no trial has one.
    """

    tasks: tuple[str, ...]
    metrics: dict[str, str]
    columns: tuple[Column, ...]
    base_parameters: int | None

    @property
    def common(self) -> tuple[str, ...]:
        """The tasks that have every column: what an average is over."""
        return tuple(
            t for t in self.tasks if all(t in c.estimates for c in self.columns)
        )

    def column(self, key: str) -> Column | None:
        """The column of this key, if there is one."""
        return next((c for c in self.columns if c.key == key), None)

    @property
    def adapters(self) -> tuple[Column, ...]:
        """The columns of adapters: the fixed sizes, then the best of each task."""
        return tuple(c for c in self.columns if c.key.startswith("adapters"))


def compare(
    results: Sequence[Result], sizes: Sequence[int] | None = None
) -> Comparison:
    """Select a setting for each task and method.

    Args:
        results: All trials of the study.
        sizes: The adapter sizes to give a column each; by default the one with the
            best average score.

    Raises:
        UserError: No trial has one of these sizes.
    """
    trials = main_trials(results)
    found = [_majority(results)]
    found += [
        _column(method, METHODS[method], of_method(trials, method))
        for method in ("no_bert", "head", "layer_norm")
    ]
    found.append(_top_n(of_method(trials, "top_n")))
    found.append(_column("full", METHODS["full"], of_method(trials, "full")))
    found += _adapters(of_method(trials, "adapters"), sizes)
    bases = {r.base_parameters for r in results} - {0}
    return Comparison(
        tasks=task_names(results),
        metrics={r.setting.task: r.metric for r in results},
        columns=tuple(column for column in found if column.estimates),
        base_parameters=max(bases, default=None),
    )


def best_size(trials: Sequence[Result]) -> int:
    """The adapter size with the best average over the tasks that have all sizes.

    Args:
        trials: Trials of adapters, at least one.

    Returns:
        The size; the smallest of equals.
    """
    tasks, sizes = rectangle(sizes_by_task(trials, "bottleneck_dim"))
    chosen = select(trials)

    def score(size: int) -> float:
        return sum(chosen[task, f"adapters-{size}"].mean for task in tasks)

    return max(sizes, key=score)


def _majority(results: Sequence[Result]) -> Column:
    values: dict[str, Estimate] = {}
    for result in results:
        if result.metric in result.majority_baseline:
            value = result.majority_baseline[result.metric]
            values.setdefault(result.setting.task, Estimate(value))
    return Column("majority", "majority", values)


def _column(key: str, title: str, trials: Sequence[Result]) -> Column:
    selected = select(trials, lambda setting: setting.task)
    compared = collections.Counter(s.setting.task for s in by_setting(trials))
    return Column(
        key,
        title,
        {task: Estimate(s.mean, s.sem) for task, s in selected.items()},
        dict(selected),
        dict(compared),
    )


def _top_n(trials: Sequence[Result]) -> Column:
    depths = {r.setting.top_n for r in trials}
    title = METHODS["top_n"]
    if len(depths) == 1:
        title = f"top {depths.pop()} fine-tuned"
    return _column("top_n", title, trials)


def _adapters(trials: Sequence[Result], sizes: Sequence[int] | None) -> list[Column]:
    there = sorted(
        {size for r in trials if (size := r.setting.bottleneck_dim) is not None}
    )
    unknown = [size for size in sizes or () if size not in there]
    if unknown:
        known = ", ".join(map(str, there)) or "none"
        raise UserError(
            f"sizes must be adapter sizes of the study, which has {known}. Received: "
            f"{', '.join(map(str, unknown))}"
        )
    if not trials:
        return []
    columns = [
        _column(
            f"adapters-{size}",
            f"adapters {size}",
            [r for r in trials if r.setting.bottleneck_dim == size],
        )
        for size in sizes or [best_size(trials)]
    ]
    if len(there) > 1:
        columns.append(_column("adapters", "adapters, best size", trials))
    return columns
