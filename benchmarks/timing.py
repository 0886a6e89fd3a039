"""Wall and CPU time of calls that take turns, and of the whole machine."""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Timing:
    """Times of one call, one for each round.

    Attributes:
        wall: Seconds that passed.
        cpu: Seconds of processor time of this process, all threads together.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def to_dict(self) -> dict[str, float | int]:
        """Medians and the number of rounds, for JSON."""
        return {
            "wall_seconds": statistics.median(self.wall),
            "cpu_seconds": statistics.median(self.cpu),
            "repeats": len(self.wall),
        }

    def ratio(self, other: "Timing") -> dict[str, float]:
        """This by `other`: the median over the rounds that both ran in.

        Both calls of a round run within moments of each other, so that what else
        the machine does weighs on both.
        """
        return {
            name: statistics.median(
                mine / max(its, 1e-9)
                for mine, its in zip(
                    getattr(self, name), getattr(other, name), strict=True
                )
            )
            for name in ("wall", "cpu")
        }


def interleave(
    calls: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 2
) -> dict[str, Timing]:
    """Time calls that take turns, so that a slow moment meets all of them.

    Args:
        calls: Name -> call. Each round runs all of them once, and begins with
            another one than the round before.
        repeats: Rounds that count.
        warmup: Rounds before them.
    """
    names = list(calls)
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warmup + repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start, start_cpu = time.perf_counter(), time.process_time()
            calls[name]()
            if turn >= warmup:
                cpu[name].append(time.process_time() - start_cpu)
                wall[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(wall[name]), tuple(cpu[name])) for name in names}


def timed(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Run a long call once.

    Returns:
        Its result, and `wall_seconds` and `cpu_seconds`, those of processes that
        it started and waited for included.
    """
    start, start_cpu = time.perf_counter(), _cpu_with_children()
    result = call()
    return result, {
        "wall_seconds": time.perf_counter() - start,
        "cpu_seconds": _cpu_with_children() - start_cpu,
    }


def _cpu_with_children() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


_STAT = Path("/proc/stat")


def busy_seconds() -> float | None:
    """Seconds that all cores together were busy since the start; Linux only."""
    if not _STAT.is_file():
        return None
    user, nice, system, _, _, irq, softirq, *_ = (
        int(value) for value in _STAT.read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
