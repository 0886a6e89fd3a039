"""adapters-tf-benchmark data."""

from typing import Any

from adapters_tf.benchmark.report import check_output
from adapters_tf.bin.benchmark_flags import output_flag, report, value_or_quick
from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError
from adapters_tf.tasks.registry import task_names
from adapters_tf.tasks.source import TaskSource

_QUICK = {"max_train_examples": 600, "epoch_rows": 96, "repeats": 1}


def define() -> Groups:
    """The flags of `data`."""
    g = Groups(
        "Measures the input pipeline, how little it pads, and how random its order is."
        "\n  adapters-tf-benchmark data --data_dir=glue --output=data.json"
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


def run(flags: Any) -> None:
    """Measure, print and write."""
    from adapters_tf.benchmark.pipeline.job import PipelineOptions, measure_pipeline
    from adapters_tf.benchmark.pipeline.tables import as_markdown, find_bars

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
    result["goals"] = find_bars(result)
    report(flags.output, result, as_markdown(result))


JOB = SubJob("data", "input pipeline, padding and order of the rows", define, run)
