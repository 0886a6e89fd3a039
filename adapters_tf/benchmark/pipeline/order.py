"""How random an order of rows is, by numbers that a fair shuffle is known to have."""

from collections.abc import Sequence

import numpy as np
import scipy.stats


def measure_order(
    epochs: Sequence[Sequence[np.ndarray]],
    lengths: np.ndarray,
    labels: np.ndarray | None,
) -> dict[str, dict[str, float]]:
    """Statistics of the batches of successive epochs.

    Args:
        epochs: Row indices of each batch of each epoch, two epochs or more.
        lengths: `[N]` tokens of each row.
        labels: `[N]` class indices, or `None`.

    Returns:
        Name -> `value`, and what a fair shuffle of all rows gives: `fair` on average
        and, where it is known, `deviation` from it.

        step against the epoch before: Spearman's correlation of a row's step in an
            epoch and in the next, the farthest from 0.
        step against length: that of a batch's step and its mean length, likewise: no
            curriculum.
        neighbouring batches: correlation of the mean lengths of successive batches,
            likewise.
        batch-mates met again: share of a row's batch-mates that are its mates in the
            next epoch too.
        classes of a batch: variance of the share of class 0 in a batch by that of
            batches drawn at random; with `labels`.
    """
    rows = len(lengths)
    steps = len(epochs[0])
    after = [
        _spearman(_step_of_rows(one, rows), _step_of_rows(other, rows))
        for one, other in zip(epochs, epochs[1:], strict=False)
    ]
    means = [np.array([lengths[b].mean() for b in epoch]) for epoch in epochs]
    curriculum = [_spearman(np.arange(steps), own) for own in means]
    neighbours = [_spearman(own[:-1], own[1:]) for own in means]
    again = [
        share_met_again(one, other, rows)
        for one, other in zip(epochs, epochs[1:], strict=False)
    ]
    size = max(map(len, epochs[0]))
    found = {
        "step against the epoch before": _statistic(_far(after), 0, (rows - 1) ** -0.5),
        "step against length": _statistic(_far(curriculum), 0, (steps - 1) ** -0.5),
        "neighbouring batches": _statistic(_far(neighbours), 0, (steps - 2) ** -0.5),
        "batch-mates met again": _statistic(
            float(np.mean(again)), (size - 1) / (rows - 1)
        ),
    }
    if labels is not None:
        spread = [class_spread(epoch, labels) for epoch in epochs]
        # Of a variance of `steps` values that are nearly normal.
        deviation = (2 / (len(epochs) * (steps - 1))) ** 0.5
        found["classes of a batch"] = _statistic(float(np.mean(spread)), 1, deviation)
    return found


def share_met_again(
    one: Sequence[np.ndarray], other: Sequence[np.ndarray], rows: int
) -> float:
    """Of all pairs of rows in a batch of `one`, the share in a batch of `other`."""
    step = _step_of_rows(other, rows)
    pairs = same = 0
    for batch in one:
        counts = np.bincount(step[batch])
        pairs += len(batch) * (len(batch) - 1)
        same += int((counts * (counts - 1)).sum())
    return same / pairs


def class_spread(batches: Sequence[np.ndarray], labels: np.ndarray) -> float:
    """Variance of the share of class 0 in a batch, by that of a draw at random.

    Batches smaller than the first are left out.
    """
    first = labels == 0
    size, share, rows = len(batches[0]), first.mean(), len(labels)
    shares = [first[b].mean() for b in batches if len(b) == size]
    # Without replacement (hypergeometric).
    expected = share * (1 - share) / size * (rows - size) / (rows - 1)
    return float(np.mean((np.array(shares) - share) ** 2) / expected)


def _step_of_rows(batches: Sequence[np.ndarray], rows: int) -> np.ndarray:
    step = np.empty(rows, np.int64)
    for number, batch in enumerate(batches):
        step[batch] = number
    return step


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    return float(scipy.stats.spearmanr(one, other).statistic)


def _far(values: Sequence[float]) -> float:
    return max(values, key=abs)


def _statistic(
    value: float, fair: float, deviation: float | None = None
) -> dict[str, float]:
    found = {"value": value, "fair": float(fair)}
    return found if deviation is None else {**found, "deviation": float(deviation)}
