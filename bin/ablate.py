"""adapters-tf-ablate: which adapters matter, and from which initial scale."""

import sys
from pathlib import Path
from typing import Any

from adapters_tf.bin import sweep
from adapters_tf.bin.flags import (
    check_labelled_flags,
    define_labelled_flags,
    open_adapter,
    read_labelled_rows,
)
from adapters_tf.bin.program import Groups, SubJob, require, run_sub_jobs
from adapters_tf.errors import UserError
from adapters_tf.io import write_json
from adapters_tf.study.ablation import ablate_layers

_USAGE = (
    "The studies of section 3.6 of the paper.\n"
    "  adapters-tf-ablate layers --adapter=out/adapter --file=dev.csv --output=a.json"
)
_GRID = "--grid=init_scale"


def define_layers() -> Groups:
    """The flags of `layers`."""
    g = Groups(
        "Removes the trained adapters of every span of encoder blocks, without\n"
        "training again; adapters-tf-report draws the heat map.\n"
        "  adapters-tf-ablate layers --adapter=out/adapter --file=dev.csv "
        "--output=a.json"
    )
    define_labelled_flags(g)
    g.group("Output")
    g.string("output", None, "new JSON file")
    return g


def layers(flags: Any) -> None:
    """Measure, print and write."""
    require(flags, "adapter", "output")
    check_labelled_flags(flags)
    path = Path(flags.output)
    if path.exists():
        raise UserError(f"--output must be a new file. {flags.output!r} exists.")
    if not path.absolute().parent.is_dir():
        raise UserError(
            "--output must be in a directory that exists. Received: "
            f"--output={flags.output}"
        )
    loaded = open_adapter(flags)
    rows = read_labelled_rows(flags, loaded)

    def show(span: dict[str, Any]) -> None:
        metric, value = next(iter(span["dev"].items()))
        print(f"without {_blocks(span)}: {metric} {value:.4f}", flush=True)

    found = ablate_layers(flags.adapter, rows, flags.preset, flags.batch_size, show)
    write_json(path, found)
    print(f"with all: {found['metric']} {found['full'][found['metric']]:.4f}")


def _blocks(span: dict[str, Any]) -> str:
    first, last = span["first"], span["last"]
    return f"block {first}" if first == last else f"blocks {first} to {last}"


def define_init_scale() -> Groups:
    """The flags of `init_scale`, which are those of a sweep."""
    g = sweep.define()
    g.usage = (
        "Trains adapters from initial scales of 1e-7 to 1: adapters-tf-sweep with\n"
        f"{_GRID}.\n"
        "  adapters-tf-ablate init_scale --tasks=mrpc --data_dir=glue --output_dir=out"
    )
    g.flags.set_default("grid", "init_scale")
    g.flags.set_default("output_dir", "adapters-tf-init-scale")
    return g


def init_scale(flags: Any) -> None:
    """Run the sweep."""
    sweep.main(flags, [_GRID, *sys.argv[2:]])


JOBS = (
    SubJob("layers", "remove trained adapters, span by span", define_layers, layers),
    SubJob(
        "init_scale",
        "train from initial scales of 1e-7 to 1",
        define_init_scale,
        init_scale,
    ),
)


def cli() -> None:
    """Entry point of `adapters-tf-ablate`."""
    run_sub_jobs(_USAGE, JOBS, "the same command goes on")


if __name__ == "__main__":
    cli()
