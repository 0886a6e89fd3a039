"""A task's metrics and predictions, of a model on rows."""

import dataclasses
from typing import Any

from adapters_tf.models.task import Task
from adapters_tf.tasks.base import Prepared
from adapters_tf.tasks.kinds import compute_metrics, kind_named
from adapters_tf.training.predict import Predictor


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What evaluation found.

    Attributes:
        metrics: The task's metrics, the first one first.
        confusion: See `Kind.confusion`; for classification only.
    """

    metrics: dict[str, float]
    confusion: dict[str, Any] | None = None


class Evaluator:
    """Evaluates a model, and whatever adapter it holds at the time.

    Args:
        predict: Runs the model.
        task: Its task.
    """

    def __init__(self, predict: Predictor, task: Task) -> None:
        self.task = task
        self._kind = kind_named(task.kind)
        self._predict = predict

    def predictions(self, data: Prepared) -> list[dict[str, Any]]:
        """One JSON-like record a row, in the order of the rows; see `Kind.records`."""
        return self._kind.records(self.task, self._predict(data.features), data)

    def metrics(self, data: Prepared) -> dict[str, float]:
        """The task's metrics on labelled rows, the first one first."""
        return self.evaluate(data).metrics

    def evaluate(self, data: Prepared) -> Evaluation:
        """The task's metrics on labelled rows, and which classes were confused."""
        records = self.predictions(data)
        predicted = self._kind.predictions(self.task, records)
        references = data.examples.references
        return Evaluation(
            compute_metrics(self.task, predicted, references),
            self._kind.confusion(self.task, predicted, references),
        )
