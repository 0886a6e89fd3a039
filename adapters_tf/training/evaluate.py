"""A task's metrics and predictions, of a model on rows."""

import dataclasses
from typing import Any

import numpy as np

from adapters_tf.data.examples import Examples, QuestionExamples
from adapters_tf.data.features import Features, tokenize
from adapters_tf.data.question_features import QuestionFeatures, question_features
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.tasks.metrics import compute_metrics
from adapters_tf.tasks.task import Task
from adapters_tf.training.predict import Predictor, softmax


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Rows beside their tokens.

    Attributes:
        examples: The rows.
        features: Their tokens; for questions, the windows.
        questions: The windows' places in the contexts, for questions only.
    """

    examples: Examples | QuestionExamples
    features: Features
    questions: QuestionFeatures | None = None


def prepare(examples: Examples | QuestionExamples, preprocessor: Any) -> Prepared:
    """Tokenise the rows of either kind."""
    if isinstance(examples, QuestionExamples):
        questions = question_features(examples, preprocessor)
        return Prepared(examples, questions.features, questions)
    return Prepared(examples, tokenize(examples, preprocessor))


class Evaluator:
    """Evaluates a model, and whatever adapter it holds at the time.

    Args:
        model: The model.
        task: Its task.
        batch_size: Rows at a time.
    """

    def __init__(self, model: AdapterModel, task: Task, batch_size: int = 64) -> None:
        self.task = task
        self._predict = Predictor(model, batch_size)

    def predictions(self, data: Prepared) -> list[dict[str, Any]]:
        """One JSON-like record a row, in the order of the rows.

        Returns:
            `label`, `score` (its probability) and `probabilities` by class
            name; or `score`; or `id`, `answer`, `start` (its first character)
            and `score` (the sum of its logits).
        """
        outputs = self._predict(data.features)
        if data.questions is not None:
            found = data.questions.answers(outputs, data.examples.contexts)
            return [
                {"id": row_id, "answer": text, "start": start, "score": score}
                for row_id, (text, start, score) in zip(
                    data.examples.ids, found, strict=True
                )
            ]
        if self.task.kind == "regression":
            return [{"score": float(value)} for value in outputs]
        records = []
        for p in softmax(np.stack(outputs)):
            best = int(np.argmax(p))
            records.append(
                {
                    "label": self.task.labels[best],
                    "score": float(p[best]),
                    "probabilities": dict(
                        zip(self.task.labels, p.tolist(), strict=True)
                    ),
                }
            )
        return records

    def metrics(self, data: Prepared) -> dict[str, float]:
        """The task's metrics on labelled rows, the first one first."""
        records = self.predictions(data)
        if data.questions is not None:
            predicted: Any = {r["id"]: r["answer"] for r in records}
            return compute_metrics(self.task, predicted, data.examples)
        if self.task.kind == "regression":
            predicted = np.array([r["score"] for r in records])
        else:
            index = {label: i for i, label in enumerate(self.task.labels)}
            predicted = np.array([index[r["label"]] for r in records])
        return compute_metrics(self.task, predicted, data.examples.labels)
