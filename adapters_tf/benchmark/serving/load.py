"""Memory and start-up of servables, and of separate models, each in a new process."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.benchmark.serving import load_process
from adapters_tf.benchmark.serving.requests import Inputs
from adapters_tf.errors import UserError

Request = tuple[str, Inputs]


def load_in_new_process(
    directories: Sequence[Path], requests: Sequence[Request]
) -> dict[str, Any]:
    """What `load_process.main` returns, from a process of its own.

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
            [sys.executable, "-P", "-m", load_process.__name__, path]
            + [os.fspath(directory) for directory in directories],
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
        Name -> medians of the fields of `load_process.main`, and `repeats`.
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
