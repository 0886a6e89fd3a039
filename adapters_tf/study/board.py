"""The progress of a sweep: a live table on a terminal, lines elsewhere."""

import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.console
import rich.live
import rich.table
import rich.text

from adapters_tf.study.results import Result
from adapters_tf.study.store import Store
from adapters_tf.study.sweep import Plan


class Board:
    """Shows a live table on a terminal; elsewhere a line for each finished trial.

    Args:
        plan: The sweep's trials.
        store: Its results.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan = plan
        self._store = store
        self._stdout = sys.stdout
        self._seen: set[str] = set()
        self._known_before = 0
        self._begun = time.monotonic()
        self._live: rich.live.Live | None = None

    def __enter__(self) -> "Board":
        self._seen = set(self._store.results())
        known = self._known_before = len(self._seen)
        if self._stdout.isatty():
            console = rich.console.Console(file=self._stdout)
            # Transient: the program prints the table again at the end.
            self._live = rich.live.Live(
                console=console, auto_refresh=False, transient=True
            )
            self._live.start()
        elif known:
            self._print(f"{known} trials of this directory are done already")
        self.update([])
        return self

    def __exit__(self, *args: Any) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, running: Sequence[str]) -> None:
        """Show which trials have finished and which run."""
        results = self._store.results()
        new = [name for name in results if name not in self._seen]
        self._seen.update(new)
        done = sum(s.name in results for s in self._plan.wanted(results))
        progress = f"{done}/{self._plan.num_trials}"
        left = self._left(self._plan.num_trials - done)
        if self._live is not None:
            table = score_table(results)
            # A caption of the table would be wrapped to the table's width.
            lines = rich.text.Text("\n".join([f"{progress} trials{left}", *running]))
            self._live.update(rich.console.Group(table, lines), refresh=True)
            return
        for name in new:
            result = results[name]
            self._print(
                f"{progress} {name}: {result.metric} {result.score:.4f}, "
                f"{result.seconds:.0f} s{left}"
            )

    def _print(self, line: str) -> None:
        print(line, file=self._stdout, flush=True)

    def _left(self, rest: int) -> str:
        """The time left, estimated from the trials that ended since the start."""
        done = len(self._seen) - self._known_before
        if not done or rest <= 0:
            return ""
        seconds = (time.monotonic() - self._begun) / done * rest
        return f", {_duration(seconds)} left"


def score_table(results: Mapping[str, Result]) -> rich.table.Table:
    """The best mean score in percent so far, for each task and variant."""
    table = rich.table.Table()
    table.add_column("task")
    variants = list(dict.fromkeys(r.setting.variant for r in results.values()))
    for variant in variants:
        table.add_column(variant, justify="right")
    groups: dict[tuple[str, str], dict[Any, list[float]]] = {}
    for result in results.values():
        setting = result.setting
        cell = groups.setdefault((setting.task, setting.variant), {})
        cell.setdefault(setting.with_seed(0), []).append(result.score)
    for task in dict.fromkeys(task for task, _ in groups):
        cells = []
        for variant in variants:
            trials = groups.get((task, variant), {})
            means = [statistics.fmean(scores) for scores in trials.values()]
            cells.append(f"{100 * max(means):.1f}" if means else "")
        table.add_row(task, *cells)
    return table


def print_table(results: Iterable[Result]) -> None:
    """Print the table of `score_table`, plain where there is no terminal."""
    rich.console.Console().print(score_table({r.setting.name: r for r in results}))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes else "less than 1 min"
