"""Running a sweep: alone, with workers on this machine, or as a part of several."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence

from adapters_tf.errors import TryAgain
from adapters_tf.study.board import Board
from adapters_tf.study.plan import Plan
from adapters_tf.study.results import Result
from adapters_tf.study.store import Store
from adapters_tf.study.sweep import Sweep
from adapters_tf.study.trial import TrialRunner
from adapters_tf.study.tuner import SweepOracle, SweepTuner, run_trials, set_role
from adapters_tf.study.workers import Workers, end_with_parent
from adapters_tf.training.prefix_cache.cache import CacheConfig


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
