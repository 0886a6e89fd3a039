"""Child processes: ones that answer requests, train together or are watched."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from adapters_tf.errors import UserError
from benchmarks.timing import busy_seconds, timed


class Resident:
    """A child process that reads requests as JSON lines, and answers in kind.

    Args:
        command: What is started. It answers each request with one line, an object;
            one with the key `error` ends it.
        name: For errors.

    Raises:
        UserError: from `ask`, if the process fails, in its own words.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        self.name = name
        # A file, since a pipe that nobody reads would fill up.
        self._errors = tempfile.TemporaryFile("w+")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env={
                    **os.environ,
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                    # Or TensorFlow takes all of a GPU, and leaves none for the peer.
                    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                },
            )
        except OSError as error:
            raise UserError(
                f"{name} could not be started. Received: {command[0]!r}: "
                f"{error.strerror}"
            ) from error

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, and wait for its answer."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._errors.seek(0)
            reason = self._errors.read().strip()[-1500:]
            raise UserError(f"{self.name} ended before it answered: {reason}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(f"{self.name}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream:
                # What it did not take is flushed on closing.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def serve(handlers: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer requests until there are no more; the other end of a `Resident`.

    What libraries print goes to the standard error.

    Args:
        handlers: The request's `op` -> what is called with its other values.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = handlers[request.pop("op")](**request)
        except UserError as error:
            answer = {"error": str(error)}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


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
    command: Sequence[str], count: int, **options: Any
) -> list["subprocess.Popen[str]"]:
    """Start a command several times, as the workers of one cluster.

    Args:
        command: What each worker runs.
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
                command,
                env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3", **config},
                text=True,
                **options,
            )
        )
    return processes


# That of this interpreter, wherever its scripts were installed.
TRAIN_PROGRAM = (
    sys.executable,
    "-P",
    "-c",
    "from adapters_tf.bin.train import cli; cli()",
)


def child_command(module: str, *arguments: str) -> list[str]:
    """The command that calls `run_child(*arguments)` of a module of this folder."""
    run = Path(__file__).with_name("run.py")
    return [sys.executable, "-P", str(run), "--child", module, *arguments]


def quiet_environment() -> dict[str, str]:
    """This process's environment, with TensorFlow's log off."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


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
    epochs, took = timed(lambda: _run_watched(command, name, history))
    after, wall = busy_seconds(), took["wall_seconds"]
    foreign = None
    if before is not None and after is not None:
        machine = wall * (os.cpu_count() or 1)
        foreign = max(0.0, (after - before - took["cpu_seconds"]) / machine)
    return Watched(wall, took["cpu_seconds"], foreign, tuple(epochs))


def _run_watched(
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
                new = _read_history(history)[len(epochs) :]
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


def _read_history(history: Path | None) -> list[dict[str, Any]]:
    # It is renamed into place: whole or not there.
    if history is None or not history.is_file():
        return []
    return json.loads(history.read_text(encoding="utf-8"))["epochs"]


_STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """What is in use now; where the system has no `/proc`, the most there ever was."""
    return _status("VmRSS:")


def peak_bytes() -> int:
    """The most that was ever in use.

    On Linux not what `getrusage` says, which starts at the peak of the process that
    started this one.
    """
    return _status("VmHWM:")


def _status(key: str) -> int:
    if _STATUS.is_file():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(key):
                return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
