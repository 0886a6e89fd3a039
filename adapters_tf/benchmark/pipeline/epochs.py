"""Real epochs of training, with the batches made in different ways."""

import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.benchmark.pipeline.ways import (
    BUCKETED,
    WAYS,
    way_batches,
    way_length,
)
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import Features
from adapters_tf.training.config import TrainConfig
from adapters_tf.training.trainer import AdapterTrainer


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
