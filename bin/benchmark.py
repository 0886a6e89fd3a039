"""adapters-tf-benchmark: measurements that others can repeat."""

import logging
from typing import Any

from adapters_tf.benchmark.report import check_output
from adapters_tf.benchmark.serving.job import ServingOptions, measure_serving
from adapters_tf.benchmark.serving.tables import as_markdown, find_bars
from adapters_tf.benchmark.texts import SENTENCES, read_lines
from adapters_tf.bin import (
    benchmark_data,
    benchmark_page,
    benchmark_quality,
    benchmark_scaling,
    benchmark_steps,
)
from adapters_tf.bin.benchmark_flags import (
    output_flag,
    report,
    value_or_quick,
    whole_numbers,
)
from adapters_tf.bin.program import Groups, SubJob, run_sub_jobs
from adapters_tf.errors import UserError

_USAGE = (
    "Measures this library, and writes the numbers as JSON and Markdown.\n"
    "  adapters-tf-benchmark serving --output=serving.json"
)
_TEXTS = 200
# In place of the defaults: ends in a minute or two on a small preset.
_QUICK = {
    "tasks": ["2"],
    "rows": ["4", "2"],
    "bottleneck_dim": 8,
    "seq_length": 32,
    "repeats": 3,
    "load_repeats": 1,
}
_QUICK_TEXTS = 8
_QUICK_FAULTS = {"kills": 2, "rows": 90, "epochs": 2}


def define_serving() -> Groups:
    """The flags of `serving`."""
    g = Groups(
        "Measures servables of many tasks: speed, memory, start-up, disk, agreement.\n"
        "  adapters-tf-benchmark serving --tasks=16,256 --output=serving.json"
    )
    g.group("What is measured")
    g.string("preset", "demo", "the base")
    g.strings("tasks", ["16", "256"], "numbers of tasks in a servable")
    g.integer("bottleneck_dim", 64, "units of an adapter's bottleneck")
    g.integer("seq_length", 128, "longest input in tokens")
    g.strings("rows", ["64", "16"], "batch sizes")
    g.integer("mixed_tasks", 16, "tasks that the rows of a batch belong to")
    g.string("texts", None, "file, a text a line, to compare answers on [built in]")
    g.group("How long")
    g.integer("repeats", 20, "rounds of calls")
    g.integer("load_repeats", 3, "processes for each start-up")
    g.boolean("quick", False, "few tasks and repeats, to see that it works")
    output_flag(g)
    return g


def serving(flags: Any) -> None:
    """Measure, print and write."""
    check_output(flags.output)

    def value(name: str) -> Any:
        return value_or_quick(flags, name, _QUICK)

    count = _QUICK_TEXTS if flags.quick else _TEXTS
    texts = read_lines(flags.texts, count) if flags.texts else SENTENCES[:count]
    options = ServingOptions(
        preset=flags.preset,
        tasks=whole_numbers("tasks", value("tasks")),
        bottleneck_dim=value("bottleneck_dim"),
        seq_length=value("seq_length"),
        rows=whole_numbers("rows", value("rows")),
        mixed_tasks=flags.mixed_tasks,
        repeats=value("repeats"),
        load_repeats=value("load_repeats"),
        agreement_texts=tuple(texts),
    )
    result = measure_serving(options)
    result["goals"] = find_bars(result)
    report(flags.output, result, as_markdown(result))


def define_strategies() -> Groups:
    """The flags of `strategies`."""
    g = Groups(
        "Trains on every strategy, and says how far the weights are from one device's."
        "\n  adapters-tf-benchmark strategies --output=strategies.json"
    )
    g.group("What is run")
    g.string("preset", "demo", "the base")
    g.integer("bottleneck_dim", 64, "units of an adapter's bottleneck")
    g.boolean("quick", False, "two runs, to see that it works")
    output_flag(g)
    return g


def strategies(flags: Any) -> None:
    """Measure, print and write."""
    from adapters_tf.benchmark.strategies import job

    check_output(flags.output)
    result = job.measure_strategies(flags.preset, flags.bottleneck_dim, flags.quick)
    report(flags.output, result, job.as_markdown(result))


def define_faults() -> Groups:
    """The flags of `faults`."""
    g = Groups(
        "Kills training runs at random moments, and compares what they end in.\n"
        "  adapters-tf-benchmark faults --kills=20 --output=faults.json"
    )
    g.group("What is run")
    g.string("preset", "demo", "the base")
    g.integer("kills", 20, "how many times a process is killed")
    g.integer("rows", 180, "rows of the file")
    g.integer("epochs", 4, "epochs of a run")
    g.integer("checkpoint_interval", 5, "steps between two checkpoints")
    g.integer("seed", 0, "of the moments")
    g.boolean("quick", False, "fewer kills of shorter runs, to see that it works")
    output_flag(g)
    return g


def faults(flags: Any) -> None:
    """Measure, print and write."""
    from adapters_tf.benchmark.faults import job

    check_output(flags.output)
    names = ("preset", "kills", "rows", "epochs", "checkpoint_interval", "seed")
    values = {name: value_or_quick(flags, name, _QUICK_FAULTS) for name in names}
    result = job.measure_faults(job.FaultOptions(**values))
    report(flags.output, result, job.as_markdown(result))


def define_reuse() -> Groups:
    """The flags of `reuse`."""
    g = Groups(
        "Says what it saves that the trials of a sweep share a model.\n"
        "  adapters-tf-benchmark reuse --output=reuse.json"
    )
    g.group("What is run")
    g.string("preset", "demo", "the base")
    g.integer("trials", 4, "with a model each, and with one for all")
    g.integer("bottleneck_dim", 64, "units of an adapter's bottleneck")
    output_flag(g)
    return g


def reuse(flags: Any) -> None:
    """Measure, print and write."""
    from adapters_tf.benchmark import reuse as job

    check_output(flags.output)
    if flags.trials < 2:
        raise UserError(f"--trials must be 2 or more. Received: {flags.trials}")
    result = job.measure_reuse(flags.preset, flags.trials, flags.bottleneck_dim)
    report(flags.output, result, job.as_markdown(result))


JOBS = (
    *benchmark_steps.JOBS,
    benchmark_data.JOB,
    benchmark_quality.JOB,
    benchmark_scaling.JOB,
    SubJob("serving", "many tasks in one servable", define_serving, serving),
    SubJob(
        "strategies",
        "the same weights on every distribution strategy",
        define_strategies,
        strategies,
    ),
    SubJob("faults", "killed runs that are continued", define_faults, faults),
    SubJob("reuse", "trials of a sweep that share a model", define_reuse, reuse),
    benchmark_page.JOB,
)


def cli() -> None:
    """Entry point of `adapters-tf-benchmark`."""
    # Where assets were written, and that a session's loader is deprecated.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    run_sub_jobs(_USAGE, JOBS, interrupted="its files were removed")


if __name__ == "__main__":
    cli()
