"""Score against trained parameters, over tasks: figures 1 and 3 of the paper."""

import collections
import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np

from adapters_tf.report.metric_names import METHODS
from adapters_tf.report.trials import main_trials, of_method, rectangle
from adapters_tf.study.results import Result
from adapters_tf.study.selection import select

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
