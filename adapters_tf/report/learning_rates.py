"""How much a method's score depends on its learning rate."""

import dataclasses
from collections.abc import Sequence

from adapters_tf.report.estimate import Estimate, average, of_sample
from adapters_tf.report.metric_names import METHODS
from adapters_tf.report.trials import (
    main_trials,
    of_method,
    rectangle,
    sizes_by_task,
)
from adapters_tf.study.results import Result
from adapters_tf.study.selection import Selected, select


@dataclasses.dataclass(frozen=True)
class RateEffect:
    """One learning rate of a method, with all else selected for it.

    Attributes:
        method: The tuning method.
        rate: The learning rate.
        tasks: The tasks that have all rates of the method.
        score: The mean over the tasks, with the error that the seeds give it.
        behind: How far the rate is behind the best rate of each task, the mean over
            the tasks, with the error from the spread between the tasks.
        best_on: On how many of the tasks it is the best.
    """

    method: str
    rate: float
    tasks: tuple[str, ...]
    score: Estimate
    behind: Estimate
    best_on: int


def rate_effects(results: Sequence[Result]) -> list[RateEffect]:
    """The learning rates of each method that was run with several."""
    effects = []
    for method in METHODS:
        trials = [
            r
            for r in of_method(main_trials(results), method)
            if r.setting.learning_rate is not None
        ]
        tasks, rates = rectangle(sizes_by_task(trials, "learning_rate"))
        if len(rates) > 1:
            chosen = select(trials, lambda s: (s.task, s.learning_rate))
            effects += [
                _effect(method, rate, tasks, rates, chosen) for rate in sorted(rates)
            ]
    return effects


def _effect(
    method: str,
    rate: float,
    tasks: Sequence[str],
    rates: Sequence[float],
    chosen: dict[tuple[str, float], Selected],
) -> RateEffect:
    best = {t: max(rates, key=lambda r: chosen[t, r].mean) for t in tasks}
    here = [chosen[task, rate] for task in tasks]
    return RateEffect(
        method,
        rate,
        tuple(tasks),
        average(Estimate(s.mean, s.sem) for s in here),
        of_sample(
            chosen[t, best[t]].mean - s.mean for t, s in zip(tasks, here, strict=True)
        ),
        sum(best[task] == rate for task in tasks),
    )


def spread_of(effects: Sequence[RateEffect], method: str) -> float | None:
    """How far a method's worst learning rate is behind on average, a fraction.

    Returns:
        `None` for a method that was not run with several rates.
    """
    behind = [e.behind.mean for e in effects if e.method == method]
    return max(behind, default=None)
