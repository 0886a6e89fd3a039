"""The measurement of `adapters-tf-benchmark scaling`."""

import dataclasses
from collections.abc import Callable
from typing import Any

from adapters_tf.benchmark.machine import describe_machine
from adapters_tf.benchmark.scaling import encoder, servables
from adapters_tf.benchmark.scaling.laws import CONSTANT, LINEAR, fit_law
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.errors import UserError, check_counts

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
            f"{servables.ROWS} texts"
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
