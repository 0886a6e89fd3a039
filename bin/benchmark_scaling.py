"""adapters-tf-benchmark scaling."""

from pathlib import Path
from typing import Any

from adapters_tf.benchmark.report import check_output
from adapters_tf.bin.benchmark_flags import (
    output_flag,
    report,
    value_or_quick,
    whole_numbers,
)
from adapters_tf.bin.program import Groups, SubJob

_QUICK = {
    "lengths": ["16", "32"],
    "rows": ["1", "4"],
    "bottlenecks": ["1", "16"],
    "tasks": ["1", "4"],
    "repeats": 3,
}
_AXES = ("lengths", "rows", "bottlenecks", "tasks")


def define() -> Groups:
    """The flags of `scaling`."""
    g = Groups(
        "Says how costs grow with inputs, adapters and tasks, and draws it.\n"
        "  adapters-tf-benchmark scaling --output=scaling.json"
    )
    g.group("What is measured")
    g.string("preset", "demo", "the base")
    g.strings("lengths", "16 32 64 128 256 512".split(), "tokens of a row")
    g.strings("rows", "1 4 16 64 256".split(), "rows of a batch")
    g.strings("bottlenecks", "1 4 16 64 256 1024".split(), "units of the adapters")
    g.strings("tasks", "1 4 16 64 256 1024".split(), "tasks of a servable; empty: none")
    g.integer("bottleneck_dim", 64, "units where they are not what changes")
    g.integer("task_bottleneck_dim", 16, "units of the tasks of a servable")
    g.group("How long")
    g.integer("repeats", 7, "rounds of calls")
    g.boolean("quick", False, "two sizes each, to see that it works")
    output_flag(g)
    return g


def run(flags: Any) -> None:
    """Measure, print, write and draw."""
    from adapters_tf.benchmark.scaling.job import ScalingOptions, measure_scaling
    from adapters_tf.benchmark.scaling.tables import AXES, as_markdown

    check_output(flags.output)

    def value(name: str) -> Any:
        return value_or_quick(flags, name, _QUICK)

    options = ScalingOptions(
        preset=flags.preset,
        **{name: whole_numbers(name, value(name)) for name in _AXES},
        bottleneck_dim=flags.bottleneck_dim,
        task_bottleneck_dim=flags.task_bottleneck_dim,
        repeats=value("repeats"),
    )
    result = measure_scaling(options)
    report(flags.output, result, as_markdown(result))
    if flags.output:
        _draw(result["sweeps"], AXES, Path(flags.output))


def _draw(sweeps: list[dict[str, Any]], axes: dict[str, str], output: Path) -> None:
    """A figure for each axis beside the JSON file, `NAME_AXIS.png` and `.svg`."""
    from adapters_tf.benchmark.scaling.figure import draw_scaling
    from adapters_tf.study.report.figures import save

    for axis, what in axes.items():
        own = [sweep for sweep in sweeps if sweep["axis"] == axis]
        if own:
            path = output.with_name(f"{output.stem}_{axis}")
            save(draw_scaling(own, what), path)
            print(f"{path}.png, .svg")


JOB = SubJob("scaling", "how costs grow with inputs, adapters and tasks", define, run)
