"""The registry of kinds of tasks, and the metrics of a task of any kind.

All metrics are fractions or coefficients, not percent: accuracy, F1 and exact match
lie in [0, 1], correlations in [-1, 1].
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.models.task import Task
from adapters_tf.tasks.base import Kind
from adapters_tf.tasks.classification import Classification
from adapters_tf.tasks.multi_label import MultiLabel
from adapters_tf.tasks.question_answering import QuestionAnswering
from adapters_tf.tasks.regression import Regression
from adapters_tf.tasks.token_classification import TokenClassification

_KINDS: dict[str, Kind] = {}


def register_kind(kind: Kind) -> None:
    """Register a kind by its name for training, prediction and export.

    Args:
        kind: The kind. Registration order matters: the first kind that recognises a
            file of training rows is used.

    Raises:
        ValueError: if a kind of this name exists.
    """
    if kind.name in _KINDS:
        raise ValueError(f"A kind's name must be new. Received: {kind.name!r}")
    _KINDS[kind.name] = kind


def kinds() -> Mapping[str, Kind]:
    """Return all kinds by name."""
    return MappingProxyType(_KINDS)


def kind_named(name: str) -> Kind:
    """Return the kind of this name.

    Raises:
        UserError: if there is none.
    """
    if name not in _KINDS:
        raise UserError(
            f"kind must be one of {', '.join(sorted(_KINDS))}. Received: kind={name!r}"
        )
    return _KINDS[name]


# Keep classification last: it recognises every file.
register_kind(QuestionAnswering())
register_kind(TokenClassification())
register_kind(MultiLabel())
register_kind(Regression())
register_kind(Classification())


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
