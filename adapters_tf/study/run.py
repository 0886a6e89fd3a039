"""Running a sweep: in one process, with local workers, or on several machines."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import logging

from adapters_tf.errors import TryAgain, UserError
from adapters_tf.study.board import Board
from adapters_tf.study.results import Result
from adapters_tf.study.store import Store
from adapters_tf.study.sweep import Plan, Sweep
from adapters_tf.study.trial import TrialRunner
from adapters_tf.study.tuner import SweepOracle, SweepTuner, run_trials, set_role
from adapters_tf.training.prefix_cache.config import CacheConfig


def run_sweep(
    sweep: Sweep, output_dir: str, cache: CacheConfig | None = None
) -> list[Result]:
    """Run all trials of a sweep that are not finished, in this process.

    Args:
        sweep: The sweep.
        output_dir: New, empty, or of an earlier sweep of the same tasks and base, whose
            finished trials count. `results.jsonl` in it has them all.
        cache: Where hidden states under the lowest trained block are kept.

    Returns:
        All finished trials in it, in the order of their names.

    Raises:
        UserError: The directory, a task's rows or a setting is not usable.
        TryAgain: The sweep was stopped with SIGTERM.
    """
    store, plan = Store(output_dir), Plan(sweep)
    with store.open(sweep), Board(plan, store) as board:
        runner = TrialRunner(sweep, store, cache=cache)
        runner.check()
        store.publish()
        oracle = SweepOracle(plan, store, board.update)
        run_trials(SweepTuner(oracle, store, runner))
        return _results(store)


def run_chief(
    sweep: Sweep,
    output_dir: str,
    address: str | None = None,
    local_workers: Sequence[Sequence[str]] = (),
) -> list[Result]:
    """Hand out the trials of a sweep to workers, which run them.

    Args:
        sweep: The sweep.
        output_dir: As `run_sweep`; on a file system that all workers share.
        address: `host:port` to listen at; by default a free port of this machine.
        local_workers: Command lines that start workers here, without the flag for the
            chief's address, which is added. Without any, others start them.

    Raises:
        UserError, TryAgain: As `run_sweep`.
    """
    store, plan = Store(output_dir), Plan(sweep)
    address = address or f"127.0.0.1:{_free_port()}"
    with store.open(sweep), Board(plan, store) as board:
        TrialRunner(sweep, store).check()
        store.publish()
        set_role("chief", address)
        oracle = SweepOracle(plan, store, board.update)
        tuner = SweepTuner(oracle, store, None)
        if not local_workers:
            run_trials(tuner)
            return _results(store)
        commands = [[*command, f"--chief={address}"] for command in local_workers]
        # It would wait for the workers 20 seconds longer than they run.
        threading.Thread(target=run_trials, args=[tuner], daemon=True).start()
        with _stopped_by_sigterm():
            Workers(
                commands,
                progress=lambda: len(store.results()),
                finished=lambda: plan.next(store.results(), ()) is None,
            ).run()
        return _results(store)


def run_worker(
    sweep: Sweep,
    output_dir: str,
    address: str,
    name: str,
    of_parent: bool,
    cache: CacheConfig | None = None,
) -> None:
    """Run trials that a chief hands out, until there are no more.

    Args:
        sweep: The chief's sweep.
        output_dir: The chief's.
        address: `host:port` of the chief.
        name: A name that no other worker has. A worker that died goes on with its
            trial when it is started again by the same name.
        of_parent: Whether the process that started this one ends it when it ends.
        cache: As `run_sweep`.
    """
    set_role(name, address)
    if of_parent:
        end_with_parent(
            sys.stdin.fileno(), lambda: os.kill(os.getpid(), signal.SIGTERM)
        )
    store = Store(output_dir)
    runner = TrialRunner(sweep, store, cache=cache)
    run_trials(SweepTuner(SweepOracle(Plan(sweep), store), store, runner))


def _results(store: Store) -> list[Result]:
    results = store.results()
    return [results[name] for name in sorted(results)]


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    def stop(*args: object) -> None:
        raise TryAgain("The sweep was stopped; the same command goes on with it.")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
