"""Times of prediction by size of the input, and costs of servables by tasks."""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.export.base import export_base
from adapters_tf.export.servable import (
    MIXED,
    LoadedBase,
    ServableOptions,
    save_version,
)
from adapters_tf.export.session import ServingSession
from adapters_tf.models.features import Features
from adapters_tf.tasks.build import build_model
from adapters_tf.training.predict import Predictor
from benchmarks.serving_build import RandomTasks, size_on_disk
from benchmarks.serving_load import load_in_new_process
from benchmarks.serving_measure import mixed_inputs
from benchmarks.texts import SENTENCES
from benchmarks.timing import interleave

# What stays while one of the three is changed.
ROWS, TOKENS = 8, 128


def time_encoder(
    preset: str,
    lengths: Sequence[int],
    rows: Sequence[int],
    bottlenecks: Sequence[int],
    bottleneck_dim: int,
    repeats: int,
) -> dict[str, list[float]]:
    """Median seconds of one batch, the calls of each axis taking turns.

    Args:
        preset: The base; see `load_backbone`.
        lengths: Tokens of a row, with `ROWS` rows.
        rows: Rows of a batch, of `TOKENS` tokens or as many as the longest of
            `lengths`, if that is less.
        bottlenecks: Units of the adapters, with such a batch of `ROWS` rows.
        bottleneck_dim: Units in the first two.
        repeats: Rounds.

    Returns:
        `seq_length`, `rows` and `bottleneck_dim` -> seconds in the given order.
    """
    longest = max(lengths)
    tokens = min(TOKENS, longest)
    models = {m: _model(preset, m, longest) for m in {bottleneck_dim, *bottlenecks}}
    usual = models[bottleneck_dim]
    axes = {
        "seq_length": {n: _call(usual, ROWS, n) for n in lengths},
        "rows": {n: _call(usual, n, tokens) for n in rows},
        "bottleneck_dim": {n: _call(models[n], ROWS, tokens) for n in bottlenecks},
    }
    found = {}
    for axis, calls in axes.items():
        timings = interleave({str(n): call for n, call in calls.items()}, repeats)
        found[axis] = [timings[str(n)].to_dict()["wall_seconds"] for n in calls]
    return found


def _model(preset: str, bottleneck_dim: int, seq_length: int) -> Predictor:
    model = build_model(
        "classification",
        preset,
        AdapterConfig(bottleneck_dim=bottleneck_dim),
        seq_length=seq_length,
        head={"num_classes": 2},
        dtype="float32",
    )
    return Predictor(model, batch_size=10**6)


def _call(predict: Predictor, rows: int, tokens: int) -> Callable[[], object]:
    # Of the first words of any vocabulary; what they are makes no difference.
    ids = np.random.default_rng(0).integers(5, 20, rows * tokens).astype(np.int32)
    features = Features(ids, np.zeros_like(ids), np.arange(rows + 1) * tokens)
    return lambda: predict(features)


CALL_ROWS = 16


def measure_servables(
    preset: str,
    tasks: Sequence[int],
    bottleneck_dim: int,
    seq_length: int,
    repeats: int,
    say: Callable[[str], None] = print,
) -> dict[str, list[float]]:
    """Servables with `mixed_text` alone, of random tasks.

    Memory and load time are those of a new process for each, which loads the servable
    and calls it once; latency is that of sessions in this process.

    Args:
        preset: The base.
        tasks: How many, for each servable.
        bottleneck_dim: Units of every adapter.
        seq_length: Longest input in tokens.
        repeats: Rounds of calls.
        say: Called with a line before each servable.

    Returns:
        `latency` (seconds of a call of `CALL_ROWS` texts of one task), `load`
        (seconds), `memory` (bytes by which the process grew) and `disk` (bytes), in
        the given order.
    """
    found: dict[str, list[float]] = {"load": [], "memory": [], "disk": []}
    random_tasks = RandomTasks(preset, bottleneck_dim, seq_length)
    names = [random_tasks.name(0)] * CALL_ROWS
    request = (MIXED, mixed_inputs(SENTENCES[:CALL_ROWS], names))
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="adapters-tf-benchmark-")
        )
        export_base(preset, Path(scratch) / "base", seq_length)
        base = LoadedBase(Path(scratch) / "base")
        sessions = {}
        for count in tasks:
            say(f"a servable with {count} task(s)")
            version = Path(scratch) / str(count)
            own = {
                random_tasks.name(index): random_tasks.exported(index)
                for index in range(count)
            }
            save_version(base, own, version, ServableOptions(task_signatures=False))
            del own
            loaded = load_in_new_process([version], [request])
            resident = loaded["resident_bytes"]
            found["load"].append(loaded["load"]["wall_seconds"])
            found["memory"].append(resident["called"] - resident["before"])
            found["disk"].append(size_on_disk(version))
            sessions[str(count)] = stack.enter_context(ServingSession(version))
        timings = interleave(
            {
                name: functools.partial(session.run, *request)
                for name, session in sessions.items()
            },
            repeats,
        )
    latency = [timings[name].to_dict()["wall_seconds"] for name in sessions]
    return {"latency": latency, **found}
