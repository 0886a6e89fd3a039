"""Gaps, costs, trade-off, learning rates and classes, computed from the results."""

import collections
import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np
import sklearn.metrics

from adapters_tf.study.report.comparison import (
    Column,
    Comparison,
    main_trials,
    of_method,
    rectangle,
    sizes_by_task,
)
from adapters_tf.study.report.labels import METHODS
from adapters_tf.study.results import (
    Estimate,
    Result,
    Selected,
    average,
    of_sample,
    select,
)


@dataclasses.dataclass(frozen=True)
class Gap:
    """How far full fine-tuning is ahead of a column.

    Attributes:
        column: The other column.
        by_task: The difference on each task; its error comes from the seeds.
        over_tasks: The mean difference. Its error comes from the spread between the
            tasks, which includes the noise of the seeds: it says how well the mean
            holds for tasks like these.
        over_seeds: The same mean. Its error comes from the seeds alone: it says how
            well the mean is known for exactly these tasks.
    """

    column: Column
    by_task: dict[str, Estimate]
    over_tasks: Estimate
    over_seeds: Estimate


def gap_to_full(comparison: Comparison, column: Column) -> Gap | None:
    """Full fine-tuning minus `column`, over the tasks that have both.

    Returns:
        The gap; `None` if no task has both.
    """
    full = comparison.column("full")
    if full is None:
        return None
    differences = {
        task: full.estimates[task] - column.estimates[task]
        for task in comparison.tasks
        if task in full.estimates and task in column.estimates
    }
    if not differences:
        return None
    return Gap(
        column,
        differences,
        of_sample(d.mean for d in differences.values()),
        average(differences.values()),
    )


@dataclasses.dataclass(frozen=True)
class Cost:
    """How many parameters a method needs.

    Attributes:
        column: The method.
        trained: Parameters trained for a task, the mean over the tasks.
        share: `trained` as a share of the base; `None` without a base.
        total: All parameters for `num_tasks` tasks, relative to one base: a copy for
            each task with full fine-tuning, else one base and what each task trains;
            `None` without a base.
        num_tasks: The number of tasks.
    """

    column: Column
    trained: float
    share: float | None
    total: float | None
    num_tasks: int


def cost_of(comparison: Comparison, column: Column) -> Cost:
    """The parameters of a column, for as many tasks as the study has."""
    trained = statistics.fmean(
        s.results[0].trained_parameters for s in column.selected.values()
    )
    tasks = len(comparison.tasks)
    if comparison.base_parameters is None:
        return Cost(column, trained, None, None, tasks)
    share = trained / comparison.base_parameters
    if column.key == "full":
        total = float(tasks)
    elif column.key == "no_bert":
        total = tasks * share
    else:
        total = 1 + tasks * share
    return Cost(column, trained, share, total, tasks)


PERCENTILES = (20, 50, 80)


@dataclasses.dataclass(frozen=True)
class TradeoffPoint:
    """A method at one of its sizes.

    Attributes:
        method: The tuning method.
        size: Units of the adapters, number of trained blocks, or `None`.
        tasks: Number of tasks.
        trained: Trained parameters, the mean over the tasks.
        low, median, high: The 20th, 50th and 80th percentile over the tasks of the
            score minus that of full fine-tuning, as fractions.
    """

    method: str
    size: int | None
    tasks: int
    trained: float
    low: float
    median: float
    high: float


def tradeoff(results: Sequence[Result]) -> list[TradeoffPoint]:
    """The points of the trade-off, by method and ascending size.

    Each size has the learning rate and epochs with the best dev score. All points of a
    method are of the same tasks: those with full fine-tuning and every size.

    Returns:
        One point for each method and size; none without full fine-tuning.
    """
    trials = main_trials(results)
    full = select(of_method(trials, "full"), lambda setting: setting.task)
    points = []
    for method in ("adapters", "top_n", "layer_norm", "head", "full"):
        chosen = select(
            [r for r in of_method(trials, method) if r.setting.task in full],
            lambda s: (s.task, s.bottleneck_dim or s.top_n),
        )
        sizes: dict[str, list[int | None]] = collections.defaultdict(list)
        for task, size in chosen:
            sizes[task].append(size)
        tasks, common = rectangle(sizes)
        for size in sorted(common, key=lambda size: size or 0):
            selected = [chosen[task, size] for task in tasks]
            differences = [
                s.mean - full[task].mean
                for task, s in zip(tasks, selected, strict=True)
            ]
            trained = statistics.fmean(
                s.results[0].trained_parameters for s in selected
            )
            low, median, high = map(float, np.percentile(differences, PERCENTILES))
            points.append(
                TradeoffPoint(method, size, len(tasks), trained, low, median, high)
            )
    return points if {p.method for p in points} > {"full"} else []


def point_name(point: TradeoffPoint) -> str:
    """Such as `"adapters 64"`, `"top 3 blocks"`, `"head only"`."""
    if point.method == "top_n" and point.size is not None:
        return f"top {point.size} block{'s' if point.size > 1 else ''}"
    return f"{METHODS[point.method]} {point.size or ''}".strip()


@dataclasses.dataclass(frozen=True)
class RateEffect:
    """One learning rate of a method, with the best other hyperparameters.

    Attributes:
        method: The tuning method.
        rate: The learning rate.
        tasks: The tasks that have all rates of the method.
        score: The mean over the tasks; its error comes from the seeds.
        behind: The mean distance from the best rate of each task; its error comes from
            the spread between the tasks.
        best_on: The number of tasks on which this rate is the best.
    """

    method: str
    rate: float
    tasks: tuple[str, ...]
    score: Estimate
    behind: Estimate
    best_on: int


def rate_effects(results: Sequence[Result]) -> list[RateEffect]:
    """The learning rates of each method that has several."""
    effects = []
    for method in METHODS:
        trials = [
            r
            for r in of_method(main_trials(results), method)
            if r.setting.learning_rate is not None
        ]
        tasks, rates = rectangle(sizes_by_task(trials, "learning_rate"))
        if len(rates) > 1:
            chosen = select(trials, lambda s: (s.task, s.learning_rate))
            effects += [
                _effect(method, rate, tasks, rates, chosen) for rate in sorted(rates)
            ]
    return effects


def _effect(
    method: str,
    rate: float,
    tasks: Sequence[str],
    rates: Sequence[float],
    chosen: dict[tuple[str, float], Selected],
) -> RateEffect:
    best = {t: max(rates, key=lambda r: chosen[t, r].mean) for t in tasks}
    here = [chosen[task, rate] for task in tasks]
    return RateEffect(
        method,
        rate,
        tuple(tasks),
        average(s.estimate for s in here),
        of_sample(
            chosen[t, best[t]].mean - s.mean for t, s in zip(tasks, here, strict=True)
        ),
        sum(best[task] == rate for task in tasks),
    )


def spread_of(effects: Sequence[RateEffect], method: str) -> float | None:
    """How far a method's worst learning rate is behind on average, a fraction.

    Returns:
        The distance; `None` for a method with a single rate.
    """
    behind = [e.behind.mean for e in effects if e.method == method]
    return max(behind, default=None)


@dataclasses.dataclass(frozen=True)
class Confusion:
    """The dev rows of a task, by class and predicted class.

    Attributes:
        task: Name of the task.
        size: Units of the adapters.
        seed: The seed, the best of `seeds`.
        seeds: Number of seeds.
        labels: Class names.
        counts: `[N, N]`: `counts[i, j]` rows of class i were predicted as class j.
    """

    task: str
    size: int
    seed: int
    seeds: int
    labels: tuple[str, ...]
    counts: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of the rows on the diagonal."""
        return float(np.trace(self.counts) / max(1, self.counts.sum()))


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """One class against all others; 0/0 counts as 0, as in `compute_metrics`.

    Attributes:
        label: Class name.
        precision, recall, f1: Fractions.
        rows: Number of dev rows of the class.
    """

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


def confusions(comparison: Comparison) -> list[Confusion]:
    """The confusion matrix of the selected adapters of each classification task.

    It is of the seed with the best dev score.
    """
    if not comparison.adapters:
        return []
    # The last column has the best size of each task, where there are several.
    selected = comparison.adapters[-1].selected
    found = []
    for task, choice in selected.items():
        best: Result = choice.best
        size = best.setting.bottleneck_dim
        if best.confusion is not None and size is not None:
            found.append(
                Confusion(
                    task,
                    size,
                    best.setting.seed,
                    len(choice.results),
                    tuple(map(str, best.confusion["labels"])),
                    np.array(best.confusion["counts"], int),
                )
            )
    return found


def class_scores(labels: Sequence[str], counts: np.ndarray) -> list[ClassScore]:
    """Precision, recall and F1 of each class.

    Args:
        labels: Class names.
        counts: `[N, N]` numbers of rows by class and predicted class.
    """
    n = len(labels)
    precision, recall, f1, rows = sklearn.metrics.precision_recall_fscore_support(
        np.repeat(np.arange(n), n),
        np.tile(np.arange(n), n),
        labels=np.arange(n),
        sample_weight=np.asarray(counts).ravel(),
        zero_division=0.0,
    )
    return [
        ClassScore(label, float(p), float(r), float(f), int(count))
        for label, p, r, f, count in zip(
            labels, precision, recall, f1, rows, strict=True
        )
    ]
