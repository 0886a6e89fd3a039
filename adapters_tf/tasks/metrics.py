"""Compute a task's metrics, and those of a constant predictor.

All values are fractions or coefficients, not percent: accuracy, F1 and exact match
lie in [0, 1], correlations in [-1, 1].
"""

from typing import Any

from adapters_tf.models.task import Task
from adapters_tf.tasks.kinds import kind_named


def compute_metrics(task: Task, predictions: Any, references: Any) -> dict[str, float]:
    """Score predictions with the metrics of a task.

    Args:
        task: The task; its kind defines the metrics and the forms of predictions and
            references (see the classes of `adapters_tf.tasks`).
        predictions: Predictions, such as `[N]` class indices.
        references: The labels in the same form, from `Rows.references`.

    Returns:
        The value of each of `task.metrics`, in their order.

    Raises:
        ValueError: if shapes or ids do not match, there are no rows, a reference is
            missing, or a metric is unknown.
    """
    values = kind_named(task.kind).scores(task, predictions, references)
    unknown = [name for name in task.metrics if name not in values]
    if unknown:
        raise ValueError(
            f"A metric must be one of {', '.join(values)} here. Received: "
            f"{unknown[0]!r}"
        )
    return {name: float(values[name]) for name in task.metrics}


def majority_baseline(
    task: Task, train_labels: Any, dev_labels: Any
) -> dict[str, float]:
    """Compute the metrics of the best constant prediction.

    This is, for example, the most frequent class; see `Kind.majority`.

    Args:
        task: The task, with its kind and metrics.
        train_labels: `Rows.references` of the training rows.
        dev_labels: `Rows.references` of the rows to score on.

    Returns:
        The value of each of `task.metrics`, in their order.

    Raises:
        ValueError: See `compute_metrics`.
    """
    constant = kind_named(task.kind).majority(task, train_labels, dev_labels)
    return compute_metrics(task, constant, dev_labels)
