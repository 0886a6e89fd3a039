"""Job `data`: the input pipeline, how little it pads, how random its order is."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.data.batches import WINDOW, train_batches
from adapters_tf.data.examples import Examples, TaskData, rows_as
from adapters_tf.errors import UserError, check_counts
from adapters_tf.models.features import Features
from adapters_tf.tasks.source import TaskSource, limit_train_rows, task_names
from adapters_tf.tasks.text_kind import tokenize
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.model_pool import build_task_model
from benchmarks.data_ways import (
    BUCKETED,
    LONGEST,
    PADDED,
    measure_epochs,
    measure_fill,
    measure_order,
    way_batches,
)
from benchmarks.report import (
    Ratio,
    check_output,
    describe_machine,
    machine_line,
    output_flag,
    print_report,
    table,
    value_or_quick,
)
from benchmarks.timing import timed

_QUICK = {"max_train_examples": 600, "epoch_rows": 96, "repeats": 1}


def define() -> Groups:
    """The flags of `data`."""
    g = Groups(
        "Measures the input pipeline, how little it pads, and how random its order is."
        "\n  python benchmarks/run.py data --data_dir=glue --output=data.json"
    )
    g.group("What is measured")
    g.string("task", "sst2", f"one of {', '.join(task_names())}")
    g.string("data_dir", None, "folder with the task's public files [TFDS]")
    g.string("tfds_data_dir", None, "folder of TensorFlow Datasets")
    g.integer("max_train_examples", None, "this many rows, drawn at random [all]")
    g.string("preset", "demo", "the base")
    g.integer("bottleneck_dim", 64, "units of the adapters")
    g.integer("seq_length", 128, "longest input in tokens")
    g.integer("batch_size", 32, "rows of a batch")
    g.group("How long")
    g.integer("epoch_rows", 2048, "rows of an epoch that is trained, drawn at random")
    g.integer("repeats", 2, "epochs, each way")
    g.boolean("quick", False, "few rows, to see that it works")
    output_flag(g)
    return g


def main(flags: Any) -> None:
    """Measure, print and write."""

    check_output(flags.output)
    if flags.seq_length < 8:
        raise UserError(f"--seq_length must be 8 or more. Received: {flags.seq_length}")
    source = TaskSource(
        name=flags.task,
        data_dir=flags.data_dir,
        tfds_data_dir=flags.tfds_data_dir,
        max_train_examples=value_or_quick(flags, "max_train_examples", _QUICK),
    )
    options = PipelineOptions(
        source=source,
        preset=flags.preset,
        bottleneck_dim=flags.bottleneck_dim,
        seq_length=flags.seq_length,
        batch_size=flags.batch_size,
        epoch_rows=value_or_quick(flags, "epoch_rows", _QUICK),
        repeats=value_or_quick(flags, "repeats", _QUICK),
    )
    result = measure_pipeline(options)
    print_report(flags.output, result, as_markdown(result))


JOB = SubJob("data", "input pipeline, padding and order of the rows", define, main)


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


def find_ratios(result: dict[str, Any]) -> list[Ratio]:
    """The lines of the summary, from a result of `measure_pipeline`."""
    epochs = result["epochs"]
    bucketed = epochs[BUCKETED]
    longest = result["options"]["seq_length"]
    faster = epochs[PADDED]["wall_seconds"] / bucketed["wall_seconds"]
    share = bucketed["input_seconds"] / bucketed["wall_seconds"]
    return [
        Ratio(
            result["task"],
            f"epoch time, rows padded to {longest} tokens / batches of like length",
            faster,
        ),
        Ratio(result["task"], "time to make the batches / to train on them", share),
    ]


def as_markdown(result: dict[str, Any]) -> str:
    """The report.

    Args:
        result: Of `measure_pipeline`.
    """
    options = result["options"]
    head = (
        f"{machine_line(result['machine'])}. {result['task']}: {result['rows']:,} "
        f"training rows of {result['tokens'] / result['rows']:.1f} tokens on average; "
        f"base {options['preset']}, adapters of {options['bottleneck_dim']} units, "
        f"batches of {options['batch_size']} rows of at most {options['seq_length']} "
        "tokens, float32."
    )
    return (
        "\n\n".join(
            [
                "# Data",
                head,
                "## Stages",
                _stages_table(result),
                "## Padding",
                _fill_table(result),
                "## Order",
                f"{result['order_epochs']} epochs in batches of like length. "
                "`found` is the value farthest from a fair shuffle; for pairs and "
                "classes, the mean.",
                _order_table(result),
                "## Epochs",
                f"{options['repeats']} epochs of {result['epoch_rows']:,} rows each "
                "way, in turns; medians. `input` is the time to make the batches "
                "without training on them.",
                _epochs_table(result),
            ]
        )
        + "\n"
    )


def _stages_table(result: dict[str, Any]) -> str:
    mean = result["tokens"] / result["rows"]
    rows = []
    for name, stage in result["stages"].items():
        speed = stage["rows"] / max(stage["wall_seconds"], 1e-9)
        rows.append(
            [
                name,
                f"{stage['wall_seconds']:.2f}",
                f"{stage['cpu_seconds']:.2f}",
                f"{speed:,.0f}",
                "" if name.startswith("reading") else f"{mean * speed:,.0f}",
            ]
        )
    return table(["all rows once", "s", "CPU s", "rows/s", "tokens/s"], rows)


def _fill_table(result: dict[str, Any]) -> str:
    rows = [
        [
            way,
            f"{fill['steps']:,}",
            f"{fill['padded_tokens']:,}",
            f"{100 * fill['fill']:.1f}%",
        ]
        for way, fill in result["fill"].items()
    ]
    return table(["padded", "steps", "tokens with padding", "no padding"], rows)


def _order_table(result: dict[str, Any]) -> str:
    rows = []
    for name, found in result["order"].items():
        fair = f"{found['fair']:.4f}"
        if "deviation" in found:
            fair += f" ± {found['deviation']:.4f}"
        rows.append([name, f"{found['value']:.4f}", fair])
    return table(["", "found", "fair shuffle"], rows)


def _epochs_table(result: dict[str, Any]) -> str:
    epochs = result["epochs"]
    slowest = epochs[PADDED]["wall_seconds"]
    rows = []
    for way in (PADDED, LONGEST, BUCKETED):
        epoch = epochs[way]
        wall = epoch["wall_seconds"]
        rows.append(
            [
                way,
                f"{wall:.1f}",
                f"{epoch['cpu_seconds']:.1f}",
                f"{result['epoch_rows'] / wall:.1f}",
                f"{slowest / wall:.2f}x",
                f"{epoch['input_seconds']:.2f}",
                f"{100 * epoch['input_seconds'] / wall:.1f}%",
            ]
        )
    columns = ["padded", "s", "CPU s", "rows/s", "faster", "input s", "of the epoch"]
    return table(columns, rows)
