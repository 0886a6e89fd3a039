"""From many trials to the numbers of a table: selection by the dev metric."""

import collections
import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from adapters_tf.study.results import Result
from adapters_tf.study.setting import Setting


@dataclasses.dataclass(frozen=True)
class Selected:
    """A setting's trials, one for each seed.

    Attributes:
        setting: The setting, with the first of its seeds.
        results: Its results, in the order of their seeds.
    """

    setting: Setting
    results: tuple[Result, ...]

    @property
    def scores(self) -> tuple[float, ...]:
        """The dev score of each seed."""
        return tuple(r.score for r in self.results)

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.scores)

    @property
    def sem(self) -> float | None:
        """Standard error of the mean over the seeds; `None` for a single one."""
        if len(self.scores) < 2:
            return None
        return statistics.stdev(self.scores) / math.sqrt(len(self.scores))

    @property
    def best(self) -> Result:
        """The seed with the highest dev score, as the paper selects on GLUE."""
        return max(self.results, key=lambda r: r.score)


def by_setting(results: Iterable[Result]) -> list[Selected]:
    """The trials of each setting, whatever their seeds."""
    groups: dict[Setting, list[Result]] = collections.defaultdict(list)
    for result in results:
        groups[result.setting.with_seed(0)].append(result)
    selected = []
    for trials in groups.values():
        trials.sort(key=lambda r: r.setting.seed)
        selected.append(Selected(trials[0].setting, tuple(trials)))
    return selected


def select(
    results: Iterable[Result],
    group: Callable[[Setting], Any] = lambda s: (s.task, s.variant),
) -> dict[Any, Selected]:
    """The best setting of each group, by the mean dev score over its seeds.

    Settings are compared on the seeds that all settings of the group have, so that
    the seeds that only the winner was run with do not unseat it. The first of equals
    wins.

    Args:
        results: The trials.
        group: What a setting competes within: by default the task and the method with
            its size. `lambda s: (s.task, s.method)` also selects the size.

    Returns:
        The winner of each group, in the order of their first trials.
    """
    groups: dict[Any, list[Selected]] = collections.defaultdict(list)
    for trials in by_setting(results):
        groups[group(trials.setting)].append(trials)
    return {key: _winner(candidates) for key, candidates in groups.items()}


def _winner(candidates: list[Selected]) -> Selected:
    seeds = set.intersection(*({r.setting.seed for r in c.results} for c in candidates))
    if not seeds:
        return max(candidates, key=lambda c: c.mean)

    def shared_mean(candidate: Selected) -> float:
        return statistics.fmean(
            r.score for r in candidate.results if r.setting.seed in seeds
        )

    return max(candidates, key=shared_mean)
