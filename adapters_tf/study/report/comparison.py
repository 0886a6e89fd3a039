"""The methods side by side, as in tables 1 and 2 of the paper."""

import collections
import dataclasses
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import DataError, UserError
from adapters_tf.study.report.labels import METHODS
from adapters_tf.study.results import (
    Estimate,
    Result,
    Selected,
    average,
    by_setting,
    of_sample,
    select,
)


def check_results(results: Sequence[Result]) -> None:
    """Refuse results that cannot be compared.

    Raises:
        DataError: Two trials of a task differ in metric, kind or number of dev rows,
            two trials have different bases, a score is not a finite number, or a
            confusion matrix is not square.
    """
    first: dict[str, Result] = {}
    base: Result | None = None
    for result in results:
        _check_values(result)
        other = first.setdefault(result.setting.task, result)
        for field in ("metric", "kind", "dev_rows"):
            if getattr(result, field) != getattr(other, field):
                raise DataError(
                    "All trials of a task must be scored by the same metric on the "
                    f"same dev rows. Received: {field}={getattr(other, field)!r} of "
                    f"{other.setting.name} and {getattr(result, field)!r} of "
                    f"{result.setting.name}. Give their files to two reports."
                )
        if not result.base_parameters:
            continue
        base = base or result
        if result.base_parameters != base.base_parameters:
            raise DataError(
                "All trials of a report must be of one base. Received: "
                f"{base.base_parameters:,} parameters in the base of "
                f"{base.setting.name} and {result.base_parameters:,} in that of "
                f"{result.setting.name}. Give their files to two reports."
            )


def _check_values(result: Result) -> None:
    name = result.setting.name
    numbers = {
        "score": result.score,
        "trained_parameters": result.trained_parameters,
        "base_parameters": result.base_parameters,
        **result.majority_baseline,
    }
    for field, value in numbers.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(
                f"{field} of a result must be a finite number. Received: {value!r} "
                f"of {name}"
            )
    if result.confusion is None:
        return
    labels, counts = (result.confusion.get(k) for k in ("labels", "counts"))
    square = (
        isinstance(labels, list)
        and isinstance(counts, list)
        and len(counts) == len(labels)
        and all(
            isinstance(row, list)
            and len(row) == len(labels)
            and all(isinstance(count, int) and count >= 0 for count in row)
            for row in counts
        )
    )
    if not square:
        raise DataError(
            "confusion of a result must hold labels and, for each, a row of as many "
            f"counts. Received: {str(result.confusion)[:200]} of {name}"
        )


def task_names(results: Iterable[Result]) -> tuple[str, ...]:
    """The tasks, in the order of their first trials."""
    return tuple(dict.fromkeys(r.setting.task for r in results))


def of_method(results: Iterable[Result], method: str) -> list[Result]:
    """The trials of one tuning method."""
    return [r for r in results if r.setting.method == method]


def main_trials(results: Iterable[Result]) -> list[Result]:
    """The trials of one initial scale of the adapters for each task.

    A sweep of scales is an experiment of its own (figure 6 of the paper). If its trials
    competed in the tables, adapters would have more tries than the other methods. The
    scale is the library's default if the task has it, else the one with most trials.
    """
    results = list(results)
    default = AdapterConfig().initializer_stddev
    scales: dict[str, collections.Counter] = collections.defaultdict(
        collections.Counter
    )
    for result in of_method(results, "adapters"):
        scales[result.setting.task][result.setting.initializer_stddev] += 1
    kept = {
        task: default if default in counts else counts.most_common(1)[0][0]
        for task, counts in scales.items()
    }
    return [
        r
        for r in results
        if r.setting.initializer_stddev in (None, kept.get(r.setting.task))
    ]


_Size = TypeVar("_Size", bound=Hashable)


def rectangle(
    has: Mapping[str, Iterable[_Size]],
) -> tuple[tuple[str, ...], tuple[_Size, ...]]:
    """Tasks and sizes (or rates) such that every combination was run.

    Means over tasks show the effect of a size only if all sizes have the same tasks.

    Args:
        has: The sizes of each task.

    Returns:
        The tasks and sizes with the most combinations, among those that have all sizes
        of some task; the first of equals. Both are in the order given.
    """
    sets = {task: tuple(dict.fromkeys(sizes)) for task, sizes in has.items()}
    best: tuple[tuple[str, ...], tuple[_Size, ...]] = ((), ())
    for sizes in sets.values():
        tasks = tuple(t for t, others in sets.items() if set(sizes) <= set(others))
        if len(tasks) * len(sizes) > len(best[0]) * len(best[1]):
            best = (tasks, sizes)
    return best


def sizes_by_task(results: Sequence[Result], field: str) -> dict[str, list]:
    """The values of a setting's field that each task was run with, ascending."""
    found: dict[str, set] = collections.defaultdict(set)
    for result in results:
        found[result.setting.task].add(getattr(result.setting, field))
    return {task: sorted(values) for task, values in found.items()}


@dataclasses.dataclass(frozen=True)
class Column:
    """A method and its scores.

    Attributes:
        key: `"majority"`, a tuning method, or `"adapters-64"` for one size of them.
            `"adapters"` is the best size of each task.
        title: Its heading.
        estimates: The dev score of each task, a fraction, over the seeds.
        selected: The selected setting of each task; none for `"majority"`.
        compared: The number of settings that each task's was selected from.
    """

    key: str
    title: str
    estimates: dict[str, Estimate]
    selected: dict[str, Selected] = dataclasses.field(default_factory=dict)
    compared: dict[str, int] = dataclasses.field(default_factory=dict)

    def over(self, tasks: Iterable[str]) -> Estimate:
        """The mean over these tasks; its error comes from the seeds."""
        return average(self.estimates[task] for task in tasks)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All columns of a study.

    Attributes:
        tasks: Names of the tasks, in the order of their first trials.
        metrics: The first metric of each task.
        columns: The methods that the study has trials of.
        base_parameters: Parameters of the base; `None` if no trial has a base.
    """

    tasks: tuple[str, ...]
    metrics: dict[str, str]
    columns: tuple[Column, ...]
    base_parameters: int | None

    @property
    def common(self) -> tuple[str, ...]:
        """The tasks that have every column; averages are over these."""
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
        sizes: Adapter sizes that get a column each; by default the size with the best
            average score.

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
        {task: s.estimate for task, s in selected.items()},
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


# The key of `Result.about` that holds the metrics of the test rows.
_TEST_METRICS = "dev_test"


def on_test_rows(comparison: Comparison) -> Comparison | None:
    """The same selection, by dev scores, with its scores on the test rows.

    Args:
        comparison: From `compare`.

    Returns:
        The tasks with test rows, and the methods whose trials were evaluated on them;
        `None` if there are none.
    """
    columns = []
    for column in comparison.columns:
        estimates = {}
        for task, selected in column.selected.items():
            found = _score(selected, comparison.metrics[task])
            if found is not None:
                estimates[task] = found
        if estimates:
            kept = {task: column.selected[task] for task in estimates}
            columns.append(
                dataclasses.replace(column, estimates=estimates, selected=kept)
            )
    tasks = tuple(t for t in comparison.tasks if any(t in c.estimates for c in columns))
    if not tasks:
        return None
    return dataclasses.replace(comparison, tasks=tasks, columns=tuple(columns))


def _score(selected: Selected, metric: str) -> Estimate | None:
    """The mean over the seeds; `None` if one has no metrics of test rows."""
    scores = [
        result.about.get(_TEST_METRICS, {}).get(metric) for result in selected.results
    ]
    return None if None in scores else of_sample(scores)
