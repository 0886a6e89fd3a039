"""A process from its start to its end, and when it wrote what."""

import dataclasses
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters_tf.benchmark.steps.foreign import busy_seconds
from adapters_tf.benchmark.timing import timed
from adapters_tf.benchmark.train_program import quiet_environment
from adapters_tf.errors import UserError

_INTERVAL = 0.1  # seconds between two looks


@dataclasses.dataclass(frozen=True)
class Watched:
    """A process that has ended.

    Attributes:
        wall_seconds: From its start to its end.
        cpu_seconds: Its own, all threads together.
        foreign: Share of the cores' time that other processes took meanwhile; `None`
            where the system does not say.
        epochs: The entries of its history, each with the `seconds` after the start at
            which it was there.
    """

    wall_seconds: float
    cpu_seconds: float
    foreign: float | None
    epochs: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The times, for JSON."""
        return {
            name: getattr(self, name)
            for name in ("wall_seconds", "cpu_seconds", "foreign")
        }


def watch(command: Sequence[str], name: str, history: Path | None = None) -> Watched:
    """Run a command to its end.

    Args:
        command: The command.
        name: For errors.
        history: A file of the form of `history.json` that it writes epoch by epoch,
            or `None`.

    Raises:
        UserError: if it cannot be started or fails, in its own words.
    """
    before = busy_seconds()
    epochs, took = timed(lambda: _run(command, name, history))
    after, wall = busy_seconds(), took["wall_seconds"]
    foreign = None
    if before is not None and after is not None:
        machine = wall * (os.cpu_count() or 1)
        foreign = max(0.0, (after - before - took["cpu_seconds"]) / machine)
    return Watched(wall, took["cpu_seconds"], foreign, tuple(epochs))


def _run(
    command: Sequence[str], name: str, history: Path | None
) -> list[dict[str, Any]]:
    start = time.perf_counter()
    epochs: list[dict[str, Any]] = []
    with tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=quiet_environment(),
            )
        except OSError as error:
            raise UserError(
                f"{name} could not be started. Received: {command[0]!r}: "
                f"{error.strerror}"
            ) from error
        try:
            ended = None
            while ended is None:
                ended = process.poll()
                seconds = time.perf_counter() - start
                new = _read(history)[len(epochs) :]
                epochs += [{**epoch, "seconds": seconds} for epoch in new]
                if ended is None:
                    time.sleep(_INTERVAL)
        finally:
            process.kill()
            process.wait()
        if ended:
            errors.seek(0)
            reason = errors.read().strip()[-1500:]
            raise UserError(f"{name} failed with exit code {ended}: {reason}")
    return epochs


def _read(history: Path | None) -> list[dict[str, Any]]:
    # It is renamed into place: whole or not there.
    if history is None or not history.is_file():
        return []
    return json.loads(history.read_text(encoding="utf-8"))["epochs"]
