"""Job `reuse`: what the trials of a sweep save by sharing one model."""

import contextlib
import functools
import io
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.data.examples import Examples, TaskData
from adapters_tf.errors import UserError
from adapters_tf.models.task import Task
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.devices import get_strategy
from adapters_tf.training.model_pool import ModelPool
from adapters_tf.training.run import run_job
from benchmarks.report import (
    check_output,
    describe_machine,
    machine_line,
    output_flag,
    print_report,
    table,
)
from benchmarks.texts import SENTENCES
from benchmarks.timing import timed

_DEV_ROWS = 40
_EPOCHS = 2
_LENGTH = 32


def measure_reuse(
    preset: str = "demo",
    trials: int = 4,
    bottleneck_dim: int = 64,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train trials that differ in rate and seed, each with a new model and with one.

    The two ways take turns, in this process, so that neither has the libraries'
    start to itself.

    Args:
        preset: The base.
        trials: Of each way.
        bottleneck_dim: Units of the adapters.
        say: Called with a line before each trial.

    Returns:
        See docs/benchmarks.md.
    """
    # One for all: runs of several strategies share no model.
    data, strategy = _data(), get_strategy("one_device")
    pools = {"new": ModelPool(0), "shared": ModelPool()}
    times: dict[str, list[dict[str, float]]] = {name: [] for name in pools}
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in pools}
    for trial in range(trials):
        for name, pool in pools.items():
            say(f"trial {trial + 1} of {trials}, {name} model")
            config = TrainConfig(
                epochs=_EPOCHS, learning_rate=1e-3 / (1 + trial % 2), seed=trial
            )
            job = TrainJob(
                preset=preset,
                adapter=AdapterConfig(bottleneck_dim),
                seq_length=_LENGTH,
                config=config,
            )
            metrics, took = timed(functools.partial(_run, job, data, pool, strategy))
            times[name].append(took)
            scores[name].append(metrics["dev"])
    return {
        "benchmark": "reuse",
        "machine": describe_machine(),
        "options": {
            "preset": preset,
            "trials": trials,
            "bottleneck_dim": bottleneck_dim,
        },
        "training": {"rows": len(data.train), "epochs": _EPOCHS},
        "new": times["new"],
        "shared": times["shared"],
        "saved": {
            unit: statistics.median(t[unit] for t in times["new"])
            # The first one builds the model that the others share.
            - statistics.median(t[unit] for t in times["shared"][1:])
            for unit in ("wall_seconds", "cpu_seconds")
        },
        "models_built": {name: pool.built for name, pool in pools.items()},
        "identical": scores["new"] == scores["shared"],
    }


def _data() -> TaskData:
    labels = np.array([i % 3 for i in range(len(SENTENCES))], np.int32)
    rows = Examples((list(SENTENCES),), labels)
    task = Task("rows", "classification", ("text",), ("a", "b", "c"))
    everything = np.arange(len(SENTENCES))
    dev, train = everything[:_DEV_ROWS], everything[_DEV_ROWS:]
    return TaskData(task, rows.take(train), rows.take(dev))


def _run(
    job: TrainJob,
    data: TaskData,
    pool: ModelPool,
    strategy: tf.distribute.Strategy,
) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        return run_job(
            job,
            data,
            f"{place}/run",
            {},
            strategy=strategy,
            pool=pool,
            save_adapters=False,
        )


def as_markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    units = ("wall_seconds", "cpu_seconds")
    pairs = zip(result["new"], result["shared"], strict=True)
    rows = [
        [str(trial), *(f"{took[unit]:.1f}" for took in pair for unit in units)]
        for trial, pair in enumerate(pairs, 1)
    ]
    columns = ["trial", "new: s", "CPU s", "shared: s", "CPU s"]
    training, options, saved = result["training"], result["options"], result["saved"]
    return (
        "# Trials that share a model\n\n"
        f"{machine_line(result['machine'])}. Base {options['preset']}, bottleneck "
        f"{options['bottleneck_dim']}; each trial trains {training['epochs']} epochs "
        f"of {training['rows']} rows.\n\n{table(columns, rows)}\n\n"
        f"Each trial after the first saves {saved['wall_seconds']:.1f} s "
        f"({saved['cpu_seconds']:.1f} s of CPU time). Same dev metrics: "
        f"{'yes' if result['identical'] else 'NO'}.\n"
    )


# === Command line ===


def define() -> Groups:
    """The flags of `reuse`."""
    g = Groups(
        "Says what it saves that the trials of a sweep share a model.\n"
        "  python benchmarks/run.py reuse --output=reuse.json"
    )
    g.group("What is run")
    g.string("preset", "demo", "the base")
    g.integer("trials", 4, "with a model each, and with one for all")
    g.integer("bottleneck_dim", 64, "units of an adapter's bottleneck")
    output_flag(g)
    return g


def main(flags: Any) -> None:
    """Measure, print and write."""
    check_output(flags.output)
    if flags.trials < 2:
        raise UserError(f"--trials must be 2 or more. Received: {flags.trials}")
    result = measure_reuse(flags.preset, flags.trials, flags.bottleneck_dim)
    print_report(flags.output, result, as_markdown(result))


JOB = SubJob("reuse", "trials of a sweep that share a model", define, main)
