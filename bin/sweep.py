"""adapters-tf-sweep: the paper's grids, or any other, on any tasks."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from adapters_tf.bin.flags import (
    cache_config,
    define_cache_flags,
    define_train_file_flags,
    file_format,
)
from adapters_tf.bin.program import Groups, run
from adapters_tf.errors import UserError
from adapters_tf.study import require_extra
from adapters_tf.study.grid import AXES, AXES_OF, GRIDS, STUDY_METHODS
from adapters_tf.study.results import RESULTS_FILE
from adapters_tf.study.sweep import Sweep, read_sweep

# Flags of adapters-tf-train for a data file.
_FILE_FLAGS = ("train_file", "dev_file", "label_kind", "dev_fraction")
_SHARED_FLAGS = (
    "data_dir",
    "tfds_data_dir",
    "max_train_examples",
    "preset",
    "seq_length",
    "precision",
    "baseline_trials",
    "embeddings_file",
)


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Trains a grid of methods, sizes, rates, epochs and seeds on many tasks.\n"
        "  adapters-tf-sweep --tasks=cola,mrpc --data_dir=glue --output_dir=sweep \\\n"
        "      --methods=adapters,full --bottleneck_dim=8,64 --epochs=3,10\n"
        "  adapters-tf-sweep --grid=glue --preset=bert_large_en_uncased"
    )
    g.group("Grid")
    g.string("grid", None, f"{', '.join(GRIDS)}, or a .yaml or .json file")
    g.strings("methods", ["adapters"], f"of {', '.join(STUDY_METHODS)}")
    for name in AXES:
        g.strings(name, None, "values to try, in place of the grid's or the default")
    g.strings("seeds", None, "of every trial [0]")
    g.strings("final_seeds", None, "more seeds for the best of each task and size")
    g.group("Tasks")
    g.strings("tasks", None, "names of tasks, in place of the grid's")
    g.string("data_dir", None, "folder with the tasks' public files [TFDS]")
    g.string("tfds_data_dir", None, "folder of TensorFlow Datasets")
    g.integer("max_train_examples", None, "train on this many rows, drawn at random")
    define_train_file_flags(g)
    g.group("Model")
    g.string("preset", None, "keras-hub preset, handle, directory, or `demo` [demo]")
    g.integer("seq_length", None, "longest input, in tokens [128]")
    g.choice("precision", None, ("float32", "mixed_bfloat16"), "[float32]")
    g.integer("baseline_trials", None, "models that a no_bert trial tries [20]")
    g.string("embeddings_file", None, "word vectors for no_bert, in GloVe's format")
    define_cache_flags(g)
    g.group("Machines")
    g.integer("workers", 1, "trials at a time, on this machine")
    g.string("chief", None, "host:port of the process that hands out the trials")
    g.string("worker", None, "run trials for the chief, under this name")
    g.boolean("local", False, "this worker was started by adapters-tf-sweep itself")
    g.group("Output")
    g.string(
        "output_dir", "adapters-tf-sweep", "new, or that of the sweep to go on with"
    )
    return g


def sweep_from_flags(flags: Any) -> Sweep:
    """Return the sweep that the grid and the flags describe."""
    values = read_sweep(flags.grid) if flags.grid else {}
    for name in _SHARED_FLAGS:
        if flags[name].value is not None:
            values[name] = flags[name].value
    if flags.tasks and flags.train_file:
        raise UserError("Give one of --tasks and --train_file.")
    if flags.tasks:
        values["tasks"] = flags.tasks
    elif flags.train_file:
        own = {name: flags[name].value or None for name in _FILE_FLAGS}
        format = file_format(flags, flags.label_column)
        values["tasks"] = [{**own, **dataclasses.asdict(format)}]
    axes = {name: flags[name].value for name in AXES if flags[name].value}
    if "grid" not in values:
        values["grid"] = [{"method": method} for method in flags.methods]
    elif flags["methods"].present:
        values["grid"] = [b for b in values["grid"] if b["method"] in flags.methods]
    unused = set(axes).difference(
        *(AXES_OF[b.get("method", "adapters")] for b in values["grid"])
    )
    if unused:
        raise UserError(
            f"--{min(unused)} is for other methods than "
            f"{', '.join(b.get('method', 'adapters') for b in values['grid'])}."
        )
    values["grid"] = [_with_axes(block, axes) for block in values["grid"]]
    for name in ("seeds", "final_seeds"):
        if flags[name].value is not None:
            values[name] = [_seed(name, s) for s in flags[name].value]
    if not values.get("tasks"):
        raise UserError("--tasks, --train_file or a grid with tasks is needed.")
    return Sweep.from_dict(values)


def _with_axes(block: dict[str, Any], axes: dict[str, Any]) -> dict[str, Any]:
    """Add the flags' values that a block's method uses."""
    own = AXES_OF.get(block.get("method", "adapters"), ())
    return {**block, **{k: v for k, v in axes.items() if k in own}}


def _seed(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(
            f"--{name} must be whole numbers with commas between. Received: {text!r}"
        ) from None


def main(flags: Any, argv: Sequence[str] | None = None) -> None:
    """Run the sweep, or this process's part of it.

    Args:
        flags: The flags' values.
        argv: The command line's flags, for workers; by default from `sys.argv`.
    """
    require_extra()
    from adapters_tf.study.board import print_table
    from adapters_tf.study.run import run_chief, run_sweep, run_worker

    argv = sys.argv[1:] if argv is None else argv
    sweep = sweep_from_flags(flags)
    if flags.workers < 1:
        raise UserError(f"--workers must be 1 or more. Received: {flags.workers}")
    # Local workers have the same flags, --workers included, and share the cache.
    cache = dataclasses.replace(cache_config(flags), processes=flags.workers)
    if flags.worker:
        if not flags.chief:
            raise UserError("--worker needs --chief=host:port.")
        return run_worker(
            sweep, flags.output_dir, flags.chief, flags.worker, flags.local, cache
        )
    if flags.workers > 1:
        command = [sys.executable, "-P", "-m", "adapters_tf.bin.sweep", *argv]
        commands = [
            [*command, "--local", f"--worker=worker-{i + 1}"]
            for i in range(flags.workers)
        ]
        results = run_chief(sweep, flags.output_dir, flags.chief, commands)
    elif flags.chief:
        results = run_chief(sweep, flags.output_dir, flags.chief)
    else:
        results = run_sweep(sweep, flags.output_dir, cache)
    print_table(results)
    print(f"{len(results)} results in {flags.output_dir}/{RESULTS_FILE}")


def cli() -> None:
    """Entry point of `adapters-tf-sweep`."""
    run(define(), main, interrupted="the same command goes on with the sweep")


if __name__ == "__main__":
    cli()
