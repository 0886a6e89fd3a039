"""Which trial is next."""

from collections.abc import Collection, Mapping

from adapters_tf.study.results import Result
from adapters_tf.study.selection import select
from adapters_tf.study.setting import Setting
from adapters_tf.study.sweep import Sweep


class Plan:
    """The trials of a sweep: its grid, then more seeds for what was selected.

    Args:
        sweep: The sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._grid = sweep.settings()
        self._final_seeds = sweep.final_seeds

    @property
    def num_trials(self) -> int:
        """How many there will be in all."""
        seeds = {s.seed for s in self._grid}
        groups = {(s.task, s.variant) for s in self._grid}
        return len(self._grid) + len(groups) * len(set(self._final_seeds) - seeds)

    def wanted(self, results: Mapping[str, Result]) -> list[Setting]:
        """The trials that are known so far to be wanted, in their order.

        Those of `final_seeds` are known once all of their task and variant are done.

        Args:
            results: The finished trials, by their setting's name.
        """
        grid = {s.name for s in self._grid}
        open_groups = {(s.task, s.variant) for s in self._grid if s.name not in results}
        done = [
            r
            for r in results.values()
            if r.setting.name in grid
            and (r.setting.task, r.setting.variant) not in open_groups
        ]
        finals = [
            selected.setting.with_seed(seed)
            for selected in select(done).values()
            for seed in self._final_seeds
        ]
        return list(dict.fromkeys([*self._grid, *finals]))

    def next(
        self, results: Mapping[str, Result], running: Collection[str]
    ) -> Setting | None:
        """The first trial that is wanted and neither done nor running.

        Args:
            results: The finished trials, by their setting's name.
            running: Names of those that somebody runs now.

        Returns:
            `None` if there is none now; if something runs, there may be later.
        """
        for setting in self.wanted(results):
            if setting.name not in results and setting.name not in running:
                return setting
        return None
