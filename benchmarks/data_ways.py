"""Three ways to make batches, epochs of each, and how random an order of rows is."""

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.stats
import tensorflow as tf

from adapters_tf.data.batches import train_batches
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import Features, padded_length
from adapters_tf.training.config import TrainConfig
from adapters_tf.training.trainer import AdapterTrainer

BUCKETED = "rows of like length together"
LONGEST = "each batch to its longest row"
PADDED = "every row to the longest input"
WAYS = (BUCKETED, LONGEST, PADDED)


def way_batches(
    way: str, lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """The batches of one epoch.

    Args:
        way: `BUCKETED` as in training; the other two shuffle all rows and cut.
        lengths: `[N]` numbers of tokens.
        batch_size: Rows a batch.
        seed: Of the order.
        epoch: From 0.

    Returns:
        Row indices of each batch, in the order of the steps.
    """
    if way == BUCKETED:
        return train_batches(lengths, batch_size, seed, epoch)
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def way_length(way: str, lengths: np.ndarray, seq_length: int) -> int:
    """What the rows of one batch are padded to.

    Args:
        way: One of `WAYS`.
        lengths: `[B]` tokens of the batch's rows.
        seq_length: The longest input.
    """
    return seq_length if way == PADDED else padded_length(lengths, most=seq_length)


def measure_fill(
    lengths: np.ndarray, batch_size: int, seq_length: int, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """How much of what each way computes is no padding.

    Args:
        lengths: `[N]` numbers of tokens.
        batch_size: Rows a batch.
        seq_length: The longest input.
        seed: Of the order.

    Returns:
        Way -> `steps` and `padded_tokens` of an epoch, and `fill`: tokens by padded
        tokens.
    """
    found = {}
    for way in WAYS:
        batches = way_batches(way, lengths, batch_size, seed, 0)
        padded = sum(
            len(rows) * way_length(way, lengths[rows], seq_length) for rows in batches
        )
        found[way] = {
            "steps": len(batches),
            "padded_tokens": int(padded),
            "fill": float(lengths.sum() / padded),
        }
    return found


class WayTrainer(AdapterTrainer):
    """The trainer of training, whose batches are made in one of `WAYS`.

    One traced step serves all: set `way`, then `restart`.
    """

    way = BUCKETED
    seq_length = 128

    def _batches(self) -> Iterator[np.ndarray]:
        config, lengths = self.config, self.features.lengths
        for epoch in range(config.epochs):
            yield from way_batches(
                self.way, lengths, config.batch_size, config.seed, epoch
            )

    def _padded_length(self, rows: np.ndarray) -> int:
        return way_length(self.way, self.features.lengths[rows], self.seq_length)

    def begin(self, features: Features, config: TrainConfig, way: str) -> None:
        """Make ready for the first epoch."""
        self.way = way
        self.restart(features, config)


def measure_epochs(
    model: AdapterModel,
    features: Features,
    batch_size: int,
    seq_length: int,
    repeats: int,
) -> dict[str, dict[str, float]]:
    """Train epochs in all ways, which take turns.

    Args:
        model: What is trained, on and on.
        features: The rows of an epoch.
        batch_size: Rows a batch.
        seq_length: The longest input.
        repeats: Epochs of each way, with orders of their own.

    Returns:
        Way -> medians over its epochs of `wall_seconds`, `cpu_seconds` and
        `input_seconds`, those of making the batches without training; and `steps`.
    """
    trainer = WayTrainer(model, features, TrainConfig(batch_size=batch_size))
    trainer.seq_length = seq_length
    _warm_up(trainer, features, batch_size)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for turn in range(repeats):
        config = TrainConfig(epochs=1, batch_size=batch_size, seed=turn)
        first = turn % len(WAYS)
        for way in WAYS[first:] + WAYS[:first]:
            trainer.begin(features, config, way)
            start, cpu = time.perf_counter(), time.process_time()
            trainer.train(tf.constant(trainer.total_steps))
            epoch = {
                "wall_seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu,
            }
            trainer.begin(features, config, way)
            epoch["input_seconds"] = seconds_of_input(trainer)
            found[way].append(epoch)
    return {
        way: {
            **{unit: statistics.median(e[unit] for e in of) for unit in of[0]},
            "steps": len(way_batches(way, features.lengths, batch_size, 0, 0)),
        }
        for way, of in found.items()
    }


def seconds_of_input(trainer: AdapterTrainer) -> float:
    """How long it takes to make the batches of a run, with nobody computing."""
    trainer.train_loop_begin()
    start = time.perf_counter()
    batches: Any = itertools.islice(iter(trainer.train_dataset), trainer.total_steps)
    count = sum(1 for _ in batches)
    assert count == trainer.total_steps
    return time.perf_counter() - start


def _warm_up(trainer: WayTrainer, features: Features, batch_size: int) -> None:
    """Trace the step, and meet the largest shape."""
    few = TrainConfig(epochs=1, batch_size=batch_size)
    for way in WAYS:
        trainer.begin(features, few, way)
        trainer.train(tf.constant(min(2, trainer.total_steps)))


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
        pairs that share a batch again: share of the pairs of rows in one batch that
            are in one batch in the next epoch too.
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
        "pairs that share a batch again": _statistic(
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
