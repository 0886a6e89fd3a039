"""Job `scaling`: how costs grow with inputs, adapters and tasks."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError, check_counts
from adapters_tf.preset_names import resolve_preset
from benchmarks import scaling_measure as encoder
from benchmarks import scaling_measure as servables
from benchmarks.report import (
    check_output,
    describe_machine,
    machine_line,
    output_flag,
    print_report,
    table,
    value_or_quick,
    whole_numbers,
)

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
        "  python benchmarks/run.py scaling --output=scaling.json"
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


def main(flags: Any) -> None:
    """Measure, print, write and draw."""

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
    print_report(flags.output, result, as_markdown(result))
    if flags.output:
        _draw(result["sweeps"], AXES, Path(flags.output))


def _draw(sweeps: list[dict[str, Any]], axes: dict[str, str], output: Path) -> None:
    """A figure for each axis beside the JSON file, `NAME_AXIS.png` and `.svg`."""
    from adapters_tf.study.report.figures import save
    from benchmarks.scaling_figure import draw_scaling

    for axis, what in axes.items():
        own = [sweep for sweep in sweeps if sweep["axis"] == axis]
        if own:
            path = output.with_name(f"{output.stem}_{axis}")
            save(draw_scaling(own, what), path)
            print(f"{path}.png, .svg")


JOB = SubJob("scaling", "how costs grow with inputs, adapters and tasks", define, main)


CONSTANT, LINEAR = "constant", "linear"
# A point that is farther from its law, by the law's own value, is said to bend.
BEND = 0.2

# Measure -> what it is called, what it is divided by for people, and its law by the
# number of tasks.
_OF_TASKS = {
    "latency": ("ms a call", 1e-3, CONSTANT),
    "load": ("s to load", 1.0, LINEAR),
    "memory": ("MB of memory", 1e6, LINEAR),
    "disk": ("MB on disk", 1e6, LINEAR),
}


@dataclasses.dataclass(frozen=True)
class ScalingOptions:
    """What is measured.

    Attributes:
        preset: The base.
        lengths: Tokens of a row.
        rows: Rows of a batch.
        bottlenecks: Units of the adapters.
        tasks: Tasks of a servable; empty for none.
        bottleneck_dim: Units where they are not what changes.
        task_bottleneck_dim: Units of the tasks of a servable.
        repeats: Rounds of calls.

    Raises:
        UserError: if there are fewer than two ascending sizes along an axis.
    """

    preset: str = "demo"
    lengths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    rows: tuple[int, ...] = (1, 4, 16, 64, 256)
    bottlenecks: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    tasks: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    bottleneck_dim: int = 64
    task_bottleneck_dim: int = 16
    repeats: int = 7

    def __post_init__(self) -> None:
        for name in ("lengths", "rows", "bottlenecks", "tasks"):
            values = getattr(self, name)
            if name == "tasks" and not values:
                continue
            rising = list(values) == sorted(set(values))
            if len(values) < 2 or values[0] < 1 or not rising:
                raise UserError(
                    f"{name} must be two or more rising whole numbers from 1. "
                    f"Received: {name}={','.join(map(str, values))}"
                )
        check_counts(self, "bottleneck_dim", "task_bottleneck_dim", "repeats")


def measure_scaling(
    options: ScalingOptions, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measure along each axis, and fit each law.

    Args:
        options: What.
        say: Called with a line when something begins that takes a while.

    Returns:
        See docs/benchmarks.md.

    Raises:
        UserError: if the preset cannot be loaded or has fewer positions.
    """
    machine = describe_machine()
    preset = resolve_preset(options.preset)
    say("lengths, rows and bottlenecks")
    times = encoder.time_encoder(
        preset,
        options.lengths,
        options.rows,
        options.bottlenecks,
        options.bottleneck_dim,
        options.repeats,
    )
    tokens = min(encoder.TOKENS, max(options.lengths))
    units = f"adapters of {options.bottleneck_dim} units"
    fixed = {
        "seq_length": (options.lengths, f"{encoder.ROWS} rows, {units}"),
        "rows": (options.rows, f"{tokens} tokens, {units}"),
        "bottleneck_dim": (options.bottlenecks, f"{encoder.ROWS} x {tokens} tokens"),
    }
    sweeps = [
        _sweep(axis, "ms a batch", *fixed[axis], [1e3 * t for t in seconds], LINEAR)
        for axis, seconds in times.items()
    ]
    if options.tasks:
        found = servables.measure_servables(
            preset,
            options.tasks,
            options.task_bottleneck_dim,
            tokens,
            options.repeats,
            say,
        )
        what = (
            f"adapters of {options.task_bottleneck_dim} units, calls of "
            f"{servables.CALL_ROWS} texts"
        )
        for measure, costs in found.items():
            name, unit, law = _OF_TASKS[measure]
            values = [cost / unit for cost in costs]
            sweeps.append(_sweep("tasks", name, options.tasks, what, values, law))
    return {
        "benchmark": "scaling",
        "machine": machine,
        "options": dataclasses.asdict(options),
        "sweeps": sweeps,
    }


def _sweep(
    axis: str,
    measure: str,
    sizes: tuple[int, ...],
    fixed: str,
    costs: list[float],
    law: str,
) -> dict[str, Any]:
    return {
        "axis": axis,
        "measure": measure,
        "fixed": fixed,
        "sizes": list(sizes),
        "costs": costs,
        "fit": fit_law(law, sizes, costs),
    }


def fit_law(law: str, sizes: Sequence[float], costs: Sequence[float]) -> dict[str, Any]:
    """Fit `cost = intercept + slope * size` to points, each as near relative to itself.

    Args:
        law: `CONSTANT` (slope 0) or `LINEAR`.
        sizes: Positive numbers.
        costs: What was measured at each of them, positive.

    Returns:
        `law`, `intercept` and `slope`, neither negative; `exponent`, the slope of
        log(cost) by log(size) over all points, and `last_exponent`, that of the last
        two; `residual`, the largest distance of a point from the law, by the law's
        value there; and `bends`, the sizes where it is more than `BEND`.
    """
    x, y = np.asarray(sizes, float), np.asarray(costs, float)
    columns = np.stack([np.ones_like(x), x if law == LINEAR else 0 * x], axis=1)
    # Divided by the cost: a relative distance counts, else the largest decide alone.
    (intercept, slope), _ = scipy.optimize.nnls(columns / y[:, None], np.ones_like(y))
    fitted = intercept + slope * x
    away = np.abs(y / fitted - 1)
    return {
        "law": law,
        "intercept": float(intercept),
        "slope": float(slope),
        "exponent": float(np.polyfit(np.log(x), np.log(y), 1)[0]),
        "last_exponent": float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2])),
        "residual": float(away.max()),
        "bends": [size for size, off in zip(sizes, away, strict=True) if off > BEND],
    }


AXES = {
    "seq_length": "tokens of a row",
    "rows": "rows of a batch",
    "bottleneck_dim": "units of the adapters",
    "tasks": "tasks of a servable",
}
"""What each axis counts."""


def as_markdown(result: dict[str, Any]) -> str:
    """The report.

    Args:
        result: Of `measure_scaling`.
    """
    options = result["options"]
    parts = [
        "# Scaling",
        f"{machine_line(result['machine'])}. Base {options['preset']}, prediction in "
        f"float32; medians of {options['repeats']} rounds of calls, a process for each "
        "size of a servable.",
        "## Laws",
        _laws(result["sweeps"]),
        "`exponent` is that of a power law through all sizes, `at the end` through the "
        "last two. `off` is the largest relative distance of a point from the law. "
        f"`bends at` lists the sizes whose point is more than {100 * BEND:.0f}% off.",
    ]
    for axis, what in AXES.items():
        own = [sweep for sweep in result["sweeps"] if sweep["axis"] == axis]
        if own:
            parts += [f"## By {what}", f"{own[0]['fixed']}.", _points(what, own)]
    return "\n\n".join(parts) + "\n"


def _laws(sweeps: list[dict[str, Any]]) -> str:
    rows = []
    for sweep in sweeps:
        fit = sweep["fit"]
        law = f"{fit['intercept']:.3g}"
        if fit["law"] == "linear":
            law += f" + {fit['slope']:.3g} n"
        rows.append(
            [
                f"{sweep['measure']} by {AXES[sweep['axis']]}",
                f"{fit['law']}: {law}",
                f"{fit['exponent']:.2f}",
                f"{fit['last_exponent']:.2f}",
                f"{100 * fit['residual']:.0f}%",
                ", ".join(map(str, fit["bends"])) or "nowhere",
            ]
        )
    columns = ["", "law", "exponent", "at the end", "off", "bends at"]
    return table(columns, rows)


def _points(what: str, sweeps: list[dict[str, Any]]) -> str:
    rows = [
        [f"{size:,}", *(f"{sweep['costs'][i]:,.1f}" for sweep in sweeps)]
        for i, size in enumerate(sweeps[0]["sizes"])
    ]
    return table([what, *(sweep["measure"] for sweep in sweeps)], rows)
