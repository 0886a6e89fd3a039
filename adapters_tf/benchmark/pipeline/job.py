"""The measurement of `adapters-tf-benchmark data`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from adapters_tf.benchmark.machine import describe_machine
from adapters_tf.benchmark.pipeline.epochs import measure_epochs
from adapters_tf.benchmark.pipeline.order import measure_order
from adapters_tf.benchmark.pipeline.ways import (
    BUCKETED,
    measure_fill,
    way_batches,
)
from adapters_tf.benchmark.timing import timed
from adapters_tf.data.batches import WINDOW, train_batches
from adapters_tf.data.examples import Examples, rows_as
from adapters_tf.data.features import tokenize
from adapters_tf.errors import UserError, check_counts
from adapters_tf.layers.adapter_config import AdapterConfig
from adapters_tf.models.features import Features
from adapters_tf.tasks.source import TaskSource, limit_train_rows
from adapters_tf.tasks.task import TaskData
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.model_pool import build_task_model

_ORDER_EPOCHS = 5


@dataclasses.dataclass(frozen=True)
class PipelineOptions:
    """What is measured.

    Attributes:
        source: Where the rows come from; of texts, not of questions.
        preset: The base.
        bottleneck_dim: Units of the adapters.
        seq_length: Longest input in tokens.
        batch_size: Rows of a batch.
        epoch_rows: Rows of the epochs that are trained, drawn at random.
        repeats: Epochs of each way.

    Raises:
        UserError: if a number is not positive.
    """

    source: TaskSource
    preset: str = "demo"
    bottleneck_dim: int = 64
    seq_length: int = 128
    batch_size: int = 32
    epoch_rows: int = 2048
    repeats: int = 2

    def __post_init__(self) -> None:
        check_counts(
            self, "bottleneck_dim", "seq_length", "batch_size", "epoch_rows", "repeats"
        )


def measure_pipeline(
    options: PipelineOptions, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Time each stage on all training rows, and epochs of training on a part of them.

    Args:
        options: What.
        say: Called with a line when something begins that takes a while.

    Returns:
        See docs/benchmarks.md.

    Raises:
        UserError: if the rows or the base cannot be loaded, or are too few.
    """
    machine = describe_machine()
    say(f"reading and tokenising {options.source.task_name}")
    # All that is in the files, which is what is read whatever is taken of it.
    everything = dataclasses.replace(options.source, max_train_examples=None)
    data, reading = timed(everything.load)
    read = len(data.train) + len(data.dev)
    data = limit_train_rows(data, options.source.max_train_examples, 0)
    _check(data, options)
    model = build_task_model(_job(options), data.task)
    preprocessor = model.preprocessor
    train = rows_as(Examples, data.train)
    tokenize(train.take(np.arange(min(64, len(train)))), preprocessor)
    features, tokenising = timed(lambda: tokenize(train, preprocessor))
    batches, ordering = timed(
        lambda: train_batches(features.lengths, options.batch_size, 0, 0)
    )
    _, padding = timed(lambda: [features.batch(rows) for rows in batches])
    stages = {
        "reading the files": _stage(reading, read),
        "tokenising": _stage(tokenising, len(features)),
        "ordering": _stage(ordering, len(features)),
        "padding": _stage(padding, len(features)),
    }
    chosen = np.random.default_rng(0).permutation(len(features))[: options.epoch_rows]
    say(f"epochs of {len(chosen)} rows")
    epochs = measure_epochs(
        model,
        tokenize(train.take(np.sort(chosen)), preprocessor),
        options.batch_size,
        options.seq_length,
        options.repeats,
    )
    settings = dataclasses.asdict(options)
    del settings["source"]
    return {
        "benchmark": "data",
        "machine": machine,
        "options": settings,
        "task": data.task.name,
        "rows": len(features),
        "tokens": int(features.lengths.sum()),
        "window": WINDOW,
        "stages": stages,
        "fill": measure_fill(features.lengths, options.batch_size, options.seq_length),
        "order_epochs": _ORDER_EPOCHS,
        "order": _order(features, options),
        "epoch_rows": len(chosen),
        "epochs": epochs,
    }


def _job(options: PipelineOptions) -> TrainJob:
    return TrainJob(
        preset=options.preset,
        adapter=AdapterConfig(options.bottleneck_dim),
        seq_length=options.seq_length,
        config=TrainConfig(batch_size=options.batch_size),
    )


def _check(data: TaskData, options: PipelineOptions) -> None:
    if not isinstance(data.train, Examples):
        raise UserError(
            "The rows must be texts with a label. Received: the questions of "
            f"{data.task.name}"
        )
    if len(data.train) < 3 * options.batch_size:
        raise UserError(
            "There must be three batches of training rows or more. Received: "
            f"{len(data.train)} rows and batch_size={options.batch_size}"
        )


def _order(features: Features, options: PipelineOptions) -> dict[str, Any]:
    labels = features.labels
    assert labels is not None
    epochs = [
        way_batches(BUCKETED, features.lengths, options.batch_size, 0, epoch)
        for epoch in range(_ORDER_EPOCHS)
    ]
    classes = labels if labels.dtype.kind == "i" else None
    return measure_order(epochs, features.lengths, classes)


def _stage(took: dict[str, float], rows: int) -> dict[str, float]:
    return {**took, "rows": rows}
