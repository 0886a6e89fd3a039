"""adapters-tf-evaluate: a saved adapter's metrics on a labelled file."""

from pathlib import Path
from typing import Any

from adapters_tf.bin.flags import (
    check_labelled_flags,
    define_labelled_flags,
    open_adapter,
    read_labelled_rows,
)
from adapters_tf.bin.program import Groups, require, run
from adapters_tf.errors import UserError
from adapters_tf.io import write_json


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Evaluates a saved adapter on a labelled file.\n"
        "  adapters-tf-evaluate --adapter=out/adapter --file=test.csv"
    )
    define_labelled_flags(g)
    g.group("Output")
    g.string("output", None, "JSON file to write the metrics to [none]")
    return g


def main(flags: Any) -> None:
    """Evaluate and print."""
    require(flags, "adapter")
    check_labelled_flags(flags)
    if flags.output and Path(flags.output).exists():
        raise UserError(f"--output must be a new file. {flags.output!r} exists.")
    loaded = open_adapter(flags)
    rows = read_labelled_rows(flags, loaded)
    metrics = loaded.metrics(rows)
    width = max(12, *(len(name) + 2 for name in metrics))
    for name, value in metrics.items():
        print(f"{name:<{width}}{value:.4f}")
    print(f"{'rows':<{width}}{len(rows)}")
    if flags.output:
        write_json(Path(flags.output), {"dev": metrics, "rows": len(rows)})


def cli() -> None:
    """Entry point of `adapters-tf-evaluate`."""
    run(define(), main)


if __name__ == "__main__":
    cli()
