"""The measurement of `adapters-tf-benchmark strategies`."""

import dataclasses
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.benchmark.machine import describe_machine, machine_line
from adapters_tf.benchmark.report import table
from adapters_tf.benchmark.strategies import process
from adapters_tf.benchmark.strategies.process import Spec
from adapters_tf.benchmark.strategies.workers import start_workers
from adapters_tf.errors import UserError

# Strategy, virtual devices of each process, processes.
PLACES = (
    ("one_device", 1, 1),
    ("off", 1, 1),
    ("mirrored", 1, 1),
    ("mirrored", 2, 1),
    ("mirrored", 4, 1),
    ("multi_worker_mirrored", 1, 2),
)
QUICK_PLACES = (PLACES[0], ("mirrored", 2, 1))
PRECISIONS = ("float32", "mixed_bfloat16")
LIMIT = 1e-6
_DEADLINE = 900.0


def train_in_new_processes(
    spec: Spec, workers: int = 1, seconds: float = _DEADLINE
) -> dict[str, np.ndarray]:
    """The losses, outputs and trained weights of a run in processes of its own.

    Args:
        spec: The run.
        workers: How many processes train together.
        seconds: How long they may take.

    Raises:
        UserError: with what they wrote, if one failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "run.npz")
        module = ["-P", "-m", process.__name__]
        arguments = [*module, json.dumps(dataclasses.asdict(spec)), str(output)]
        processes = start_workers(
            arguments, workers, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        failed = []
        for one in processes:
            try:
                _, errors = one.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                one.kill()
                _, errors = one.communicate()
            if one.returncode:
                failed.append(errors.strip()[-1500:])
        if failed:
            raise UserError(
                f"Training with {workers} process(es) of {spec} failed: {failed[0]}"
            )
        with np.load(output) as arrays:
            return dict(arrays)


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Between two runs' trained weights.

    Raises:
        UserError: if they have not trained the same tensors.
    """
    names = set(one) - {"losses", "outputs"}
    if names != set(other) - {"losses", "outputs"}:
        raise UserError("Both runs must train the same tensors.")
    return max(float(np.abs(one[name] - other[name]).max()) for name in names)


def measure_strategies(
    preset: str = "demo",
    bottleneck_dim: int = 64,
    quick: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train on every strategy, in either precision, with and without XLA.

    Args:
        preset: The base; see `resolve_preset`.
        bottleneck_dim: Units of the adapters.
        quick: Only one device and two, in float32 without XLA.
        say: Called with a line before each run.

    Returns:
        See docs/benchmarks.md.

    Raises:
        UserError: if a run fails.
    """
    # Before the first process; they would say the same.
    AdapterConfig(bottleneck_dim=bottleneck_dim)
    places, jit = (QUICK_PLACES, (False,)) if quick else (PLACES, (False, True))
    result: dict[str, Any] = {
        "benchmark": "strategies",
        "machine": describe_machine(),
        "options": {
            "preset": preset,
            "bottleneck_dim": bottleneck_dim,
            "quick": quick,
        },
        "training": {
            "rows": process.ROWS,
            "batch_size": process.BATCH,
            "epochs": process.EPOCHS,
            "tokens": process.LENGTH,
        },
        "runs": [],
    }
    for precision in PRECISIONS[:1] if quick else PRECISIONS:
        reference: dict[str, np.ndarray] | None = None
        for jit_compile in jit:
            for strategy, devices, workers in places:
                spec = Spec(
                    strategy,
                    devices,
                    precision,
                    jit_compile,
                    preset,
                    bottleneck_dim=bottleneck_dim,
                )
                xla = ", XLA" if jit_compile else ""
                say(f"{strategy}, {devices * workers} device(s), {precision}{xla}")
                start = time.perf_counter()
                arrays = train_in_new_processes(spec, workers)
                reference = reference or arrays
                outputs = np.abs(arrays["outputs"] - reference["outputs"]).max()
                result["runs"].append(
                    {
                        "strategy": strategy,
                        "replicas": devices * workers,
                        "workers": workers,
                        "precision": precision,
                        "jit_compile": jit_compile,
                        "weights": largest_difference(arrays, reference),
                        "outputs": float(outputs),
                        "last_loss": float(arrays["losses"][-1]),
                        "wall_seconds": time.perf_counter() - start,
                    }
                )
    result["goals"] = [
        {
            "name": f"weights of {run['strategy']}, {run['replicas']} replica(s)"
            + (", XLA" if run["jit_compile"] else ""),
            "limit": LIMIT,
            "value": run["weights"],
            "met": run["weights"] <= LIMIT,
        }
        for run in result["runs"]
        if run["precision"] == "float32"
    ]
    return result


def as_markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    training = result["training"]
    rows = [
        [
            run["strategy"],
            f"{run['replicas']} in {run['workers']} process(es)",
            run["precision"],
            "on" if run["jit_compile"] else "off",
            f"{run['weights']:.1e}",
            f"{run['outputs']:.1e}",
            f"{run['last_loss']:.5f}",
        ]
        for run in result["runs"]
    ]
    columns = ["strategy", "replicas", "precision", "XLA", "weights", "outputs"]
    return (
        "# Strategies\n\n"
        f"{machine_line(result['machine'])}. Base {result['options']['preset']}, "
        f"bottleneck {result['options']['bottleneck_dim']}; {training['epochs']} epochs"
        f" of {training['rows']} rows of {training['tokens']} tokens in batches of "
        f"{training['batch_size']}, the last of each smaller; dropout 0.1. Replicas "
        "are virtual devices of one processor. `weights` and `outputs` are the largest "
        "differences from one device in the same precision without XLA.\n\n"
        f"{table([*columns, 'last loss'], rows)}\n"
    )
