"""Workers of a sweep on this machine: processes that are started anew if they die."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

from adapters_tf.errors import TryAgain, UserError

_POLL_SECONDS = 0.2
# Deaths of a worker without a trial that ended in between.
_MOST_DEATHS = 3


class Workers:
    """Keeps workers running until all of them have ended.

    A worker that a signal ended is started again; its name is what the oracle knows
    its trial by, so that it goes on with that one. One that ends with an error ends
    all.

    Args:
        commands: The command line of each.
        progress: Gives a number that changes when a trial has ended.
        finished: Whether all trials have ended; a worker that dies then has done its
            work, and one that was started again would find no chief.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        progress: Callable[[], Any],
        finished: Callable[[], bool],
    ) -> None:
        self._commands = commands
        self._progress = progress
        self._finished = finished
        # Their stdin is a pipe from here, so that they notice if this process ends.
        threads = max(1, (os.cpu_count() or 1) // len(commands))
        self._environment = {
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            **os.environ,
        }

    def run(self) -> None:
        """Start them, and wait.

        Raises:
            UserError: A worker ended with an error, which it has printed.
            TryAgain: A worker was stopped, or died again and again.
        """
        running = {i: self._start(i) for i in range(len(self._commands))}
        deaths: dict[int, list[Any]] = {i: [] for i in running}
        try:
            while running:
                time.sleep(_POLL_SECONDS)
                for index, process in list(running.items()):
                    code = process.poll()
                    if code is None:
                        continue
                    del running[index]
                    if code and not (code < 0 and self._finished()):
                        self._ended(index, code, deaths[index])
                        running[index] = self._start(index)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._commands[index], stdin=subprocess.PIPE, env=self._environment
        )

    def _ended(self, index: int, code: int, deaths: list[Any]) -> None:
        """Raise, unless the worker is to be started again."""
        if code == TryAgain.exit_code:
            raise TryAgain("The sweep was stopped; the same command goes on with it.")
        if code > 0:
            raise UserError(
                f"Worker {index + 1} of the sweep ended with the error above. The "
                "finished trials are kept; the same command goes on from there."
            )
        deaths.append(self._progress())
        if deaths[-_MOST_DEATHS:] == [deaths[-1]] * _MOST_DEATHS:
            raise TryAgain(
                f"Worker {index + 1} of the sweep was killed {_MOST_DEATHS} times in "
                f"the same trial, the last time by signal {-code}; out of memory? The "
                "finished trials are kept; the same command goes on from there."
            )
        logging.warning(
            "Worker %d was killed by signal %d; starting it again", index + 1, -code
        )


def end_with_parent(stdin: int, stop: Callable[[], None]) -> None:
    """In a worker: call `stop` when the process that started it is no more.

    Args:
        stdin: File descriptor of the pipe from that process.
        stop: Called in a thread, once.
    """

    def wait() -> None:
        # Not through Python's buffer: a thread that holds its lock makes the
        # interpreter abort when it ends.
        while os.read(stdin, 1):
            pass
        stop()

    threading.Thread(target=wait, daemon=True).start()
