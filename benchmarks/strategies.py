"""Job `strategies`: train on every distribution strategy and compare the weights."""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError
from benchmarks.processes import child_command, start_workers
from benchmarks.report import (
    check_output,
    describe_machine,
    machine_line,
    output_flag,
    print_report,
    table,
)


@dataclasses.dataclass(frozen=True)
class Spec:
    """One run.

    Attributes:
        strategy: See `get_strategy`.
        devices: Virtual devices that the processor is divided into.
        precision: `"float32"` or `"mixed_bfloat16"`.
        jit_compile: Whether XLA compiles the step.
        preset: The base; see `resolve_preset`.
        steps_per_loop: Steps between two returns to Python.
        bottleneck_dim: Units of the adapters.
        top_layers: Adapters in so many of the top blocks only; 0 for all blocks.
        cache: Where the hidden states under them are kept; see `CacheConfig`.
    """

    strategy: str = "one_device"
    devices: int = 1
    precision: str = "float32"
    jit_compile: bool = False
    preset: str = "demo"
    steps_per_loop: int = 4
    bottleneck_dim: int = 64
    top_layers: int = 0
    cache: str = "off"


# Each epoch ends in a batch that no number of replicas but one divides.
ROWS = 45
BATCH = 16
EPOCHS = 4
# All rows are cut to it: with XLA, rows are padded to multiples of 32, and dropout
# depends on the padded length.
LENGTH = 32


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
_DEADLINE = 900.0


def train_in_new_processes(
    specs: Sequence[Spec], workers: int = 1, seconds: float = _DEADLINE
) -> list[dict[str, np.ndarray]]:
    """The losses, outputs and trained weights of runs in processes of their own.

    Args:
        specs: The runs, one after another, of one strategy and number of devices.
        workers: How many processes train together.
        seconds: How long they may take.

    Raises:
        UserError: with what they wrote, if one failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        about = json.dumps([dataclasses.asdict(spec) for spec in specs])
        processes = start_workers(
            child_command("strategies", about, scratch),
            workers,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
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
            named = ", ".join(map(str, specs))
            raise UserError(
                f"Training with {workers} process(es) of {named} failed: {failed[0]}"
            )
        results = []
        for number in range(len(specs)):
            with np.load(_file_of_run(scratch, number)) as arrays:
                results.append(dict(arrays))
        return results


def _file_of_run(directory: str, number: int) -> Path:
    return Path(directory, f"{number}.npz")


def run_child(specs: str, directory: str) -> None:
    """Train as one worker; `run.py --child strategies SPECS DIRECTORY` runs it.

    Args:
        specs: A JSON list of objects with the fields of `Spec`.
        directory: Where the first worker writes a file for each run.
    """
    try:
        train_and_write([Spec(**spec) for spec in json.loads(specs)], directory)
    except UserError as error:
        sys.exit(str(error))


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
            "rows": ROWS,
            "batch_size": BATCH,
            "epochs": EPOCHS,
            "tokens": LENGTH,
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
                (arrays,) = train_in_new_processes([spec], workers)
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


def train_and_write(specs: Sequence[Spec], directory: str) -> None:
    """Train, predict, and write the weights and outputs of each run."""
    import keras
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    # Both fixed for a process's lifetime: a second strategy's collectives would have
    # the keys of the first one's.
    ((name, devices),) = {(spec.strategy, spec.devices) for spec in specs}
    if devices > 1:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * devices
        )
    from adapters_tf.training.devices import get_strategy
    from adapters_tf.training.workers import is_chief

    strategy = get_strategy(name)
    for number, spec in enumerate(specs):
        keras.backend.clear_session()  # or each run would name its weights anew
        with strategy.scope():
            arrays = _train(spec)
        if is_chief(strategy):
            np.savez(_file_of_run(directory, number), **arrays)


def _train(spec: Spec) -> dict[str, Any]:
    import tensorflow as tf

    from adapters_tf.adapters import AdapterConfig
    from adapters_tf.data.examples import Examples
    from adapters_tf.models.frozen_prefix import FrozenPrefix
    from adapters_tf.models.task import Task
    from adapters_tf.tasks.kinds import kind_named
    from adapters_tf.training.config import TrainConfig, TrainJob
    from adapters_tf.training.model_pool import build_task_model
    from adapters_tf.training.predict import Predictor
    from adapters_tf.training.prefix_cache import CacheConfig, PrefixCache
    from adapters_tf.training.trainer import AdapterTrainer
    from benchmarks.texts import SENTENCES

    config = TrainConfig(
        epochs=EPOCHS, batch_size=BATCH, seed=3, jit_compile=spec.jit_compile
    )
    job = TrainJob(
        preset=spec.preset,
        adapter=AdapterConfig(
            bottleneck_dim=spec.bottleneck_dim,
            layers=tuple(range(-spec.top_layers, 0)) or None,
        ),
        seq_length=LENGTH,
        precision=spec.precision,
        config=config,
    )
    # Three sentences are long enough to be cut.
    triples = zip(SENTENCES, SENTENCES[1:], SENTENCES[2:], strict=False)
    texts = [" ".join(triple) for triple in triples]
    labels = np.array([i % 3 for i in range(ROWS)], np.int32)
    rows = Examples((texts[:ROWS],), labels)
    task = Task("rows", "classification", ("text",), ("a", "b", "c"))
    model = build_task_model(job, task)
    tokens = kind_named(model.kind).prepare(rows, model.preprocessor).tokens
    cache = PrefixCache(CacheConfig(spec.cache))
    (features,) = cache.rows(FrozenPrefix.of(model), [tokens], EPOCHS)
    trainer = AdapterTrainer(model, features, config)
    losses = []
    for start in range(0, trainer.total_steps, spec.steps_per_loop):
        steps = min(spec.steps_per_loop, trainer.total_steps - start)
        losses.append(trainer.train(tf.constant(steps))["loss"])
    outputs = np.stack(Predictor(model, batch_size=7)(features))
    weights = {v.path: v.numpy() for v in model.trainable_variables}
    return {"losses": np.array(losses), "outputs": outputs, **weights}


# === Command line ===


def define() -> Groups:
    """The flags of `strategies`."""
    g = Groups(
        "Trains on every strategy, and says how far the weights are from one device's."
        "\n  python benchmarks/run.py strategies --output=strategies.json"
    )
    g.group("What is run")
    g.string("preset", "demo", "the base")
    g.integer("bottleneck_dim", 64, "units of an adapter's bottleneck")
    g.boolean("quick", False, "two runs, to see that it works")
    output_flag(g)
    return g


def main(flags: Any) -> None:
    """Measure, print and write."""
    check_output(flags.output)
    result = measure_strategies(flags.preset, flags.bottleneck_dim, flags.quick)
    print_report(flags.output, result, as_markdown(result))


JOB = SubJob(
    "strategies", "the same weights on every distribution strategy", define, main
)
