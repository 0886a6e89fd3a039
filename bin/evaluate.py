"""adapters-tf-evaluate: a saved adapter's metrics on a labelled file."""

from pathlib import Path
from typing import Any

from adapters_tf.bin.adapter_flags import (
    define_adapter_flags,
    open_adapter,
    read_rows,
)
from adapters_tf.bin.program import Groups, require, run
from adapters_tf.errors import UserError
from adapters_tf.tasks.registry import load_task
from adapters_tf.training.run_dir import write_json


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Evaluates a saved adapter on a labelled file.\n"
        "  adapters-tf-evaluate --adapter=out/adapter --file=test.csv"
    )
    define_adapter_flags(g, "labelled rows")
    g.string("label_column", "label", "name of the label column")
    g.group("Or the dev rows of the named task it was trained on (--task)")
    g.string("data_dir", None, "folder with the task's public files")
    g.boolean("tfds", False, "from TensorFlow Datasets")
    g.string("tfds_data_dir", None, "folder of TensorFlow Datasets")
    g.group("Output")
    g.string("output", None, "JSON file to write the metrics to [none]")
    return g


def main(flags: Any) -> None:
    """Evaluate and print."""
    require(flags, "adapter")
    if sum((bool(flags.file), bool(flags.data_dir), flags.tfds)) != 1:
        raise UserError("Give one of --file, --data_dir and --tfds. See --help.")
    if flags.output and Path(flags.output).exists():
        raise UserError(f"--output must be a new file. {flags.output!r} exists.")
    loaded = open_adapter(flags)
    if flags.file:
        rows = read_rows(flags, loaded, flags.label_column)
    else:
        rows = load_task(loaded.task.name, flags.data_dir, flags.tfds_data_dir).dev
    metrics = loaded.metrics(rows)
    for name, value in metrics.items():
        print(f"{name:<12}{value:.4f}")
    print(f"{'rows':<12}{len(rows)}")
    if flags.output:
        write_json(Path(flags.output), {"dev": metrics, "rows": len(rows)})


def cli() -> None:
    """Entry point of `adapters-tf-evaluate`."""
    run(define(), main)


if __name__ == "__main__":
    cli()
