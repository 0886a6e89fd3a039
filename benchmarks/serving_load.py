"""Memory and start-up of servables, each in a new process."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.errors import UserError
from adapters_tf.export.session import ServingSession
from benchmarks.processes import child_command, resident_bytes

Inputs = dict[str, np.ndarray]
Request = tuple[str, Inputs]


def load_in_new_process(
    directories: Sequence[Path], requests: Sequence[Request]
) -> dict[str, Any]:
    """What `load_and_run` returns, from a process of its own.

    Args:
        directories: SavedModels to load.
        requests: Signature and inputs, run on each of them in this order.

    Raises:
        UserError: with what the process wrote, if it failed.
    """
    arrays: dict[str, Any] = {
        f"{number:04d}/{signature}/{name}": _plain(value)
        for number, (signature, inputs) in enumerate(requests)
        for name, value in inputs.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "requests.npz")
        np.savez(path, **arrays)
        done = subprocess.run(
            child_command("serving_load", path, *map(os.fspath, directories)),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
    if done.returncode:
        raise UserError(
            f"{', '.join(map(str, directories))} could not be loaded and run in a new "
            f"process: {done.stderr.strip()[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def _plain(value: np.ndarray) -> np.ndarray:
    # Arrays of objects would need pickle.
    return value.astype(bytes) if value.dtype.kind == "O" else value


def measure_loads(
    cases: Mapping[str, tuple[Sequence[Path], Sequence[Request]]], repeats: int
) -> dict[str, dict[str, Any]]:
    """Load each case in new processes that take turns.

    Args:
        cases: Name -> the arguments of `load_in_new_process`.
        repeats: Processes for each.

    Returns:
        Name -> medians of the fields of `load_and_run`, and `repeats`.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            runs[name].append(load_in_new_process(*case))
    return {
        name: {
            **{
                field: {
                    key: statistics.median(one[field][key] for one in of_case)
                    for key in values
                }
                for field, values in of_case[0].items()
            },
            "repeats": repeats,
        }
        for name, of_case in runs.items()
    }


def load_and_run(path: str, directories: Sequence[str]) -> dict[str, Any]:
    """Load and run; returns what is printed.

    Returns:
        `resident_bytes` `before` loading, after it (`loaded`), after the first
        request (`called`) and after all of them (`all_called`); seconds of wall and
        CPU time to `load`, and for the `first` and the `other` requests.
    """
    arrays = np.load(path)
    requests: dict[str, tuple[str, dict[str, Any]]] = {}
    for key in arrays.files:
        request, signature, name = key.split("/")
        requests.setdefault(request, (signature, {}))[1][name] = arrays[key]
    ordered = [requests[key] for key in sorted(requests)]
    resident = {"before": resident_bytes()}
    seconds = {}
    # Kept, since servers keep what they load.
    sessions: list[ServingSession] = []

    def lap(stage: str, state: str, call: Any) -> None:
        start, start_cpu = time.perf_counter(), time.process_time()
        call()
        seconds[stage] = {
            "wall_seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - start_cpu,
        }
        resident[state] = resident_bytes()

    def run(wanted: list[tuple[str, dict[str, Any]]]) -> None:
        for session in sessions:
            for signature, inputs in wanted:
                session.run(signature, inputs)

    lap("load", "loaded", lambda: sessions.extend(map(ServingSession, directories)))
    lap("first", "called", lambda: run(ordered[:1]))
    lap("other", "all_called", lambda: run(ordered[1:]))
    return {"resident_bytes": resident, **seconds}


def run_child(path: str, *directories: str) -> None:
    """Print `load_and_run` as JSON; `run.py --child serving_load` runs it."""
    print(json.dumps(load_and_run(path, directories)))
