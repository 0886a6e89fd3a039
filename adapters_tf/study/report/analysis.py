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
        by_task: The difference on each task, with the error that the seeds give it.
        over_tasks: The mean difference; its error is from the spread between the
            tasks, in which the seeds' noise is contained. It says how well the mean
            holds for tasks like these.
        over_seeds: The same mean; its error is from the seeds alone, and says how
            well it is known for exactly these tasks.
    """

    column: Column
    by_task: dict[str, Estimate]
    over_tasks: Estimate
    over_seeds: Estimate


def gap_to_full(comparison: Comparison, column: Column) -> Gap | None:
    """Full fine-tuning minus `column`, over the tasks that have both.

    Returns:
        `None` where no task has both.
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
        trained: Trained for one task, the mean over the tasks.
        share: The same by the parameters of the base; `None` without a base.
        total: All parameters for `num_tasks` tasks, relative to one base: copies for
            full fine-tuning, for the others one base and each task's own; `None`
            without a base.
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
    """The points of the trade-off, sizes ascending, the best rate and epochs for each.

    All points of a method are of the same tasks: those that have full fine-tuning and
    every size of the method.

    Returns:
        One point a method and size; empty without full fine-tuning.
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
    """One learning rate of a method, with all else selected for it.

    Attributes:
        method: The tuning method.
        rate: The learning rate.
        tasks: The tasks that have all rates of the method.
        score: The mean over the tasks, with the error that the seeds give it.
        behind: How far the rate is behind the best rate of each task, the mean over
            the tasks, with the error from the spread between the tasks.
        best_on: On how many of the tasks it is the best.
    """

    method: str
    rate: float
    tasks: tuple[str, ...]
    score: Estimate
    behind: Estimate
    best_on: int


def rate_effects(results: Sequence[Result]) -> list[RateEffect]:
    """The learning rates of each method that was run with several."""
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
        average(Estimate(s.mean, s.sem) for s in here),
        of_sample(
            chosen[t, best[t]].mean - s.mean for t, s in zip(tasks, here, strict=True)
        ),
        sum(best[task] == rate for task in tasks),
    )


def spread_of(effects: Sequence[RateEffect], method: str) -> float | None:
    """How far a method's worst learning rate is behind on average, a fraction.

    Returns:
        `None` for a method that was not run with several rates.
    """
    behind = [e.behind.mean for e in effects if e.method == method]
    return max(behind, default=None)


@dataclasses.dataclass(frozen=True)
class Confusion:
    """The dev rows of a task, by class and predicted class.

    Attributes:
        task: Name of the task.
        size: Units of the adapters that predicted.
        seed: Their seed.
        seeds: Number of seeds it is the best of.
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
    """Those of the selected adapters of each classification task.

    Of the selected setting's seeds it is the one with the best dev score.
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
