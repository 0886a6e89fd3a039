"""What the selected settings reach on rows that selected nothing."""

import dataclasses

from adapters_tf.report.comparison import Comparison
from adapters_tf.report.estimate import Estimate, of_sample
from adapters_tf.study.selection import Selected

# Where a trial's result keeps the metrics of the test rows.
_KEY = "dev_test"


def on_test_rows(comparison: Comparison) -> Comparison | None:
    """The same selection, by the dev rows, with its scores on the test rows.

    Args:
        comparison: From `compare`.

    Returns:
        The tasks that have test rows, and the methods whose trials were evaluated on
        them; `None` where there are none.
    """
    columns = []
    for column in comparison.columns:
        estimates = {}
        for task, selected in column.selected.items():
            found = _score(selected, comparison.metrics[task])
            if found is not None:
                estimates[task] = found
        if estimates:
            kept = {task: column.selected[task] for task in estimates}
            columns.append(
                dataclasses.replace(column, estimates=estimates, selected=kept)
            )
    tasks = tuple(t for t in comparison.tasks if any(t in c.estimates for c in columns))
    if not tasks:
        return None
    return dataclasses.replace(comparison, tasks=tasks, columns=tuple(columns))


def _score(selected: Selected, metric: str) -> Estimate | None:
    """The mean over the seeds; `None` if one was not evaluated on test rows."""
    scores = [result.about.get(_KEY, {}).get(metric) for result in selected.results]
    return None if None in scores else of_sample(scores)
