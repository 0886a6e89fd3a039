"""Loads SavedModels in a process of its own and says what that cost.

`python -m adapters_tf.benchmark.serving.load_process REQUESTS.npz DIRECTORY...`
loads each directory into a session as TensorFlow Serving does, runs the requests on
each, and prints a line of JSON. The file has arrays named REQUEST/SIGNATURE/INPUT.
"""

import json
import os
import sys
import time
from typing import Any

import numpy as np

from adapters_tf.benchmark.process_memory import resident_bytes
from adapters_tf.export.session import ServingSession


def main(path: str, directories: list[str]) -> dict[str, Any]:
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


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(json.dumps(main(sys.argv[1], sys.argv[2:])))
