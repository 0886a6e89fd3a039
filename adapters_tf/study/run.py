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
from adapters_tf.training.prefix_cache import CacheConfig


def run_sweep(
    sweep: Sweep, output_dir: str, cache: CacheConfig | None = None
) -> list[Result]:
    """Run all trials of a sweep that are not finished, in this process.

    Args:
        sweep: The sweep.
        output_dir: A new or empty directory, or that of an earlier sweep on the same
            data and base, whose finished trials count.
        cache: Where to keep the hidden states below the lowest trained block.

    Returns:
        All finished trials of the directory, in the order of their names.

    Raises:
        UserError: The directory, a task's rows or a setting is not usable.
        TryAgain: SIGTERM stopped the sweep.
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
        output_dir: As for `run_sweep`; on a file system that all workers share.
        address: `host:port` to listen at; by default a free port of this machine.
        local_workers: Command lines to start workers with; the flag `--chief` is added
            to each. With none, the workers are started elsewhere.

    Raises:
        UserError, TryAgain: As for `run_sweep`.
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
        # A thread, because the tuner waits 20 seconds after the last worker ended.
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
        name: The worker's own name. A worker that died goes on with its trial when it
            is started again under the same name.
        of_parent: Whether to stop when the process that started this one ends.
        cache: As for `run_sweep`.
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
# A worker may be killed this often before another trial ends.
_MOST_DEATHS = 3


class Workers:
    """Keeps worker processes running until all of them have ended.

    A worker that was killed is started again and goes on with its trial, which the
    oracle knows by the worker's name. A worker that ends with an error ends all.

    Args:
        commands: The workers' command lines.
        progress: Gives a number that changes whenever a trial ends.
        finished: Whether all trials have ended: a worker that dies then is not started
            again, as it would find no chief.
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
        threads = max(1, (os.cpu_count() or 1) // len(commands))
        self._environment = {
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "OMP_NUM_THREADS": str(threads),
            **os.environ,
        }

    def run(self) -> None:
        """Start the workers and wait for them.

        Raises:
            UserError: A worker ended with an error, which it has printed.
            TryAgain: A worker was stopped, or was killed again and again.
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
        # A pipe as stdin lets the worker notice when this process ends.
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
    """Call `stop` once the process that started this worker has ended.

    Args:
        stdin: File descriptor of the pipe from that process.
        stop: Called once, in a thread.
    """

    def wait() -> None:
        # os.read, not Python's buffered stdin: a thread that holds its lock makes the
        # interpreter abort at exit.
        while os.read(stdin, 1):
            pass
        stop()

    threading.Thread(target=wait, daemon=True).start()
