"""Results of a study: reading them, selecting settings, means and errors."""

import collections
import dataclasses
import math
import os
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from adapters_tf.errors import DataError
from adapters_tf.io import parse_json
from adapters_tf.study.grid import Setting


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean, as a fraction.

    Attributes:
        mean: The value; 0.25 is 25 percent, or 25 points.
        sem: Its standard error in the same unit; `None` if unknown, as for a single
            seed.
    """

    mean: float
    sem: float | None = None

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference of two independent estimates."""
        return Estimate(self.mean - other.mean, _root([self.sem, other.sem]))

    def percent(self, digits: int = 1) -> str:
        """Times 100, such as `"85.8 ± 0.4"`."""
        # `+ 0.0` makes a zero of the negative zero that rounding may leave.
        text = f"{round(100 * self.mean, digits) + 0.0:.{digits}f}"
        if self.sem is None:
            return text
        return f"{text} ± {100 * self.sem:.{digits}f}"


def of_sample(values: Iterable[float]) -> Estimate:
    """The mean of a sample, with the standard error that its spread gives.

    Args:
        values: One value or more; a single one has no standard error.
    """
    values = list(values)
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean)
    return Estimate(mean, statistics.stdev(values) / math.sqrt(len(values)))


def average(estimates: Iterable[Estimate]) -> Estimate:
    """The mean of independent estimates, with their errors propagated.

    The error ignores the spread between the estimates: it holds for exactly these
    estimates, not for others like them.
    """
    estimates = list(estimates)
    total = _root([e.sem for e in estimates])
    sem = None if total is None else total / len(estimates)
    return Estimate(statistics.fmean(e.mean for e in estimates), sem)


def _root(errors: list[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if len(known) == len(errors) else None


RESULTS_FILE = "results.jsonl"


@dataclasses.dataclass(frozen=True)
class Result:
    """One finished trial.

    Attributes:
        setting: What was trained.
        metric: Name of the task's first metric, which selects.
        score: That metric on the dev rows after the last epoch, a fraction.
        dev: All dev metrics after the last epoch.
        majority_baseline: The same metrics of a prediction that ignores the texts.
        trained_parameters: Number of parameters trained for this task.
        base_parameters: Number of the base's parameters; 0 for `"no_bert"`.
        train_rows: Number of training rows.
        dev_rows: Number of dev rows.
        seconds: Wall time of the trial.
        kind: The task's kind.
        best: `epoch`, `step` and `dev` of the epoch with the best first metric.
        confusion: For classification, `labels` and `counts`: `counts[i][j]` dev rows
            of class i that were predicted as class j.
        about: Further facts: `preset`, `seq_length`, `examples_per_second`, and for
            `"no_bert"` the `hyperparameters` found.
    """

    setting: Setting
    metric: str
    score: float
    dev: dict[str, float]
    majority_baseline: dict[str, float]
    trained_parameters: int
    base_parameters: int
    train_rows: int
    dev_rows: int
    seconds: float
    kind: str
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    confusion: dict[str, Any] | None = None
    about: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """One flat record of JSON values: the setting's fields among the others."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        setting = fields.pop("setting")
        return {"name": setting.name, **setting.to_dict(), **fields}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Result":
        """The result that `to_dict` wrote.

        Raises:
            ValueError: A field is missing or not valid.
        """
        if not isinstance(record, dict):
            raise ValueError(f"a {type(record).__name__} and no record")
        values = {k: v for k, v in record.items() if k != "name"}
        own = {f.name for f in dataclasses.fields(cls)}
        parts = {f.name for f in dataclasses.fields(Setting)}
        unknown = sorted(set(values) - own - parts)
        if unknown:
            raise ValueError(f"unknown fields {', '.join(unknown)}")
        try:
            setting = Setting(**{k: v for k, v in values.items() if k in parts})
            return cls(setting, **{k: v for k, v in values.items() if k in own})
        except TypeError as error:
            raise ValueError(str(error).partition("() ")[2]) from None


def read_results(paths: Iterable[str | os.PathLike[str]]) -> list[Result]:
    """Read results from files, or from `results.jsonl` in directories.

    If several files hold a trial, the last one counts.

    Raises:
        DataError: A file is missing, or a line is not a result.
    """
    found: dict[str, Result] = {}
    for given in paths:
        path = Path(given)
        path = path / RESULTS_FILE if path.is_dir() else path
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                "Results must be the JSON lines that adapters-tf-sweep writes, or the "
                f"directory they are in. Received: {str(given)!r}: {reason}"
            ) from error
        for number, line in enumerate(lines, 1):
            try:
                result = Result.from_dict(parse_json(line))
            except ValueError as error:
                raise DataError(
                    "Each line of a results file must be a result of "
                    f"adapters-tf-sweep. Received: {path}, line {number}: {error}"
                ) from error
            found[result.setting.name] = result
    return list(found.values())


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
    def estimate(self) -> Estimate:
        """The mean over the seeds; a single seed has no standard error."""
        return of_sample(self.scores)

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return self.estimate.mean

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
    """Select the best setting of each group, by the mean dev score over its seeds.

    Settings are compared on the seeds that all settings of the group have, so that
    further seeds, which only the winner runs with, do not unseat it. The first of
    equals wins.

    Args:
        results: The trials.
        group: Gives a setting's group: by default its task and its method with size.
            `lambda s: (s.task, s.method)` also selects the size.

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
