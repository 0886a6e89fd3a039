"""Processes that train together on this machine."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def start_workers(
    arguments: Sequence[str], count: int, **options: Any
) -> list["subprocess.Popen[str]"]:
    """Start `python ARGUMENTS` several times, as the workers of one cluster.

    Args:
        arguments: Behind the interpreter.
        count: Processes; with one, `TF_CONFIG` is not set.
        **options: As `subprocess.Popen`.
    """
    # An outer cluster's is not ours.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(count)]}
    processes = []
    for index in range(count):
        own = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        config = {"TF_CONFIG": json.dumps(own)} if count > 1 else {}
        processes.append(
            subprocess.Popen(
                [sys.executable, *arguments],
                env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3", **config},
                text=True,
                **options,
            )
        )
    return processes
