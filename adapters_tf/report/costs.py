"""What a method loses against full fine-tuning, and what it saves."""

import dataclasses
import statistics

from adapters_tf.report.comparison import Column, Comparison
from adapters_tf.report.estimate import Estimate, average, of_sample


@dataclasses.dataclass(frozen=True)
class Gap:
    """How far full fine-tuning is ahead of a column.

    Attributes:
        column: The other column.
        by_task: The difference on each task, with the error that the seeds give it.
        over_tasks: The mean difference; its error is from the spread between the
            tasks, in which the seeds' noise is contained. It says how well the mean
            holds for tasks like these.
        over_seeds: The same mean; its error is from the seeds alone, and says how
            well it is known for exactly these tasks.
    """

    column: Column
    by_task: dict[str, Estimate]
    over_tasks: Estimate
    over_seeds: Estimate


def gap_to_full(comparison: Comparison, column: Column) -> Gap | None:
    """Full fine-tuning minus `column`, over the tasks that have both.

    Returns:
        `None` where no task has both.
    """
    full = comparison.column("full")
    if full is None:
        return None
    differences = {
        task: full.estimates[task] - column.estimates[task]
        for task in comparison.tasks
        if task in full.estimates and task in column.estimates
    }
    if not differences:
        return None
    return Gap(
        column,
        differences,
        of_sample(d.mean for d in differences.values()),
        average(differences.values()),
    )


@dataclasses.dataclass(frozen=True)
class Cost:
    """How many parameters a method needs.

    Attributes:
        column: The method.
        trained: Trained for one task, the mean over the tasks.
        share: The same by the parameters of the base; `None` without a base.
        total: All parameters for `num_tasks` tasks, relative to one base: copies for
            full fine-tuning, for the others one base and each task's own; `None`
            without a base.
        num_tasks: The number of tasks.
    """

    column: Column
    trained: float
    share: float | None
    total: float | None
    num_tasks: int


def cost_of(comparison: Comparison, column: Column) -> Cost:
    """The parameters of a column, for as many tasks as the study has."""
    trained = statistics.fmean(
        s.results[0].trained_parameters for s in column.selected.values()
    )
    tasks = len(comparison.tasks)
    if comparison.base_parameters is None:
        return Cost(column, trained, None, None, tasks)
    share = trained / comparison.base_parameters
    if column.key == "full":
        total = float(tasks)
    elif column.key == "no_bert":
        total = tasks * share
    else:
        total = 1 + tasks * share
    return Cost(column, trained, share, total, tasks)
