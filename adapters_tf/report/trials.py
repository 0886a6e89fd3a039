"""Which trials belong in a table, and which tasks and sizes fill a whole rectangle."""

import collections
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from adapters_tf.adapters import AdapterConfig
from adapters_tf.study.results import Result


def task_names(results: Iterable[Result]) -> tuple[str, ...]:
    """The tasks, in the order of their first trials."""
    return tuple(dict.fromkeys(r.setting.task for r in results))


def of_method(results: Iterable[Result], method: str) -> list[Result]:
    """The trials of one tuning method."""
    return [r for r in results if r.setting.method == method]


def main_trials(results: Iterable[Result]) -> list[Result]:
    """The trials without those of further initial scales.

    A sweep of scales is an experiment of its own (figure 6 of the paper). Were its
    trials to compete in the tables, adapters would have had more tries than the rest.
    Each task keeps one scale: the library's default if it was run, else the one with
    the most trials.
    """
    results = list(results)
    default = AdapterConfig().initializer_stddev
    scales: dict[str, collections.Counter] = collections.defaultdict(
        collections.Counter
    )
    for result in of_method(results, "adapters"):
        scales[result.setting.task][result.setting.initializer_stddev] += 1
    kept = {
        task: default if default in counts else counts.most_common(1)[0][0]
        for task, counts in scales.items()
    }
    return [
        r
        for r in results
        if r.setting.initializer_stddev in (None, kept.get(r.setting.task))
    ]


_Size = TypeVar("_Size", bound=Hashable)


def rectangle(
    has: Mapping[str, Iterable[_Size]],
) -> tuple[tuple[str, ...], tuple[_Size, ...]]:
    """The tasks and the sizes (or rates) of which every combination was run.

    A mean over tasks at each size says something of the size only where the tasks are
    the same at all of them.

    Args:
        has: The sizes of each task.

    Returns:
        The tasks and the sizes of the largest such rectangle with as many sizes as
        some task has; the first of equals. Both are in the order given.
    """
    sets = {task: tuple(dict.fromkeys(sizes)) for task, sizes in has.items()}
    best: tuple[tuple[str, ...], tuple[_Size, ...]] = ((), ())
    for sizes in sets.values():
        tasks = tuple(t for t, others in sets.items() if set(sizes) <= set(others))
        if len(tasks) * len(sizes) > len(best[0]) * len(best[1]):
            best = (tasks, sizes)
    return best


def sizes_by_task(results: Sequence[Result], field: str) -> dict[str, list]:
    """The values of a setting's field that each task was run with, ascending."""
    found: dict[str, set] = collections.defaultdict(set)
    for result in results:
        found[result.setting.task].add(getattr(result.setting, field))
    return {task: sorted(values) for task, values in found.items()}
