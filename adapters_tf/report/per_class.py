"""Confusion matrices of the selected adapters, and each class's scores."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import sklearn.metrics

from adapters_tf.report.comparison import Comparison
from adapters_tf.study.results import Result


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
