"""A mean with its standard error, and the arithmetic of independent ones."""

import dataclasses
import math
import statistics
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean, as a fraction.

    Attributes:
        mean: The value; 0.25 is 25 percent, or 25 points.
        sem: Its standard error, in the same unit; `None` where it is not known, as
            for a single seed.
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
    """The mean of equally weighted values, and what their spread says of it.

    Args:
        values: At least one; with a single one the standard error is not known.
    """
    values = list(values)
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean)
    return Estimate(mean, statistics.stdev(values) / math.sqrt(len(values)))


def average(estimates: Iterable[Estimate]) -> Estimate:
    """The mean of independent estimates, with their own errors propagated.

    The spread between the estimates does not enter: this is the error of the mean of
    exactly these, not of a mean over others like them.
    """
    estimates = list(estimates)
    total = _root([e.sem for e in estimates])
    sem = None if total is None else total / len(estimates)
    return Estimate(statistics.fmean(e.mean for e in estimates), sem)


def _root(errors: list[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if len(known) == len(errors) else None
