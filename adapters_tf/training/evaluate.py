"""A task's metrics and predictions, of a model on rows."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn.metrics

from adapters_tf.data.examples import (
    Examples,
    QuestionExamples,
    Rows,
    WordExamples,
    rows_as,
)
from adapters_tf.data.features import tokenize
from adapters_tf.data.question_features import QuestionFeatures, question_features
from adapters_tf.models.features import Features, ModelInputs
from adapters_tf.models.word_tokens import WordFeatures, word_features
from adapters_tf.tasks.metrics import compute_metrics
from adapters_tf.tasks.task import Task
from adapters_tf.training.class_records import class_record, label_set_record
from adapters_tf.training.predict import Predictor, sigmoid, softmax
from adapters_tf.training.tag_records import tag_record


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Rows beside their tokens.

    Attributes:
        examples: The rows.
        features: Their tokens, or their hidden states under blocks of the model; for
            questions, of the windows.
        questions: The windows' places in the contexts, for questions only.
        words: The words' places among the tokens, for sentences of words only.
    """

    examples: Rows
    features: ModelInputs
    questions: QuestionFeatures | None = None
    words: WordFeatures | None = None

    @property
    def tokens(self) -> Features:
        """The rows' tokens, even if `features` are their hidden states."""
        return self.features.tokens


def prepare(examples: Rows, preprocessor: Any) -> Prepared:
    """Tokenise the rows of any kind."""
    if isinstance(examples, WordExamples):
        words = word_features(examples.words, preprocessor, examples.tags)
        return Prepared(examples, words.features, words=words)
    if isinstance(examples, QuestionExamples):
        questions = question_features(examples, preprocessor)
        return Prepared(examples, questions.features, questions)
    return Prepared(examples, tokenize(examples, preprocessor))


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What evaluation found.

    Attributes:
        metrics: The task's metrics, the first one first.
        confusion: See `confusion`; for classification only.
    """

    metrics: dict[str, float]
    confusion: dict[str, Any] | None = None


def confusion(
    names: Sequence[str],
    references: np.ndarray,
    predicted: np.ndarray | Sequence[float],
) -> dict[str, Any]:
    """How many rows of each class were predicted as which.

    Args:
        names: The classes.
        references: `[N]` class indices.
        predicted: `[N]` class indices.

    Returns:
        As JSON values `labels` and `counts`, where `counts[i][j]` rows of class i
        were predicted as class j.
    """
    counts = sklearn.metrics.confusion_matrix(
        references, predicted, labels=range(len(names))
    )
    return {"labels": list(names), "counts": counts.tolist()}


class Evaluator:
    """Evaluates a model, and whatever adapter it holds at the time.

    Args:
        predict: Runs the model.
        task: Its task.
    """

    def __init__(self, predict: Predictor, task: Task) -> None:
        self.task = task
        self._predict = predict

    def predictions(self, data: Prepared) -> list[dict[str, Any]]:
        """One JSON-like record a row, in the order of the rows.

        Returns:
            Those of `class_record`; or, of several labels a row, of
            `label_set_record`; or `score`; or `id`, `answer`, `start` (its first
            character) and `score` (the sum of its logits); or those of
            `sentence_record`.
        """
        outputs = self._predict(data.features)
        if data.questions is not None:
            rows = rows_as(QuestionExamples, data.examples)
            found = data.questions.answers(outputs, rows.contexts)
            return [
                {"id": row_id, "answer": text, "start": start, "score": score}
                for row_id, (text, start, score) in zip(rows.ids, found, strict=True)
            ]
        if data.words is not None:
            sentences = rows_as(WordExamples, data.examples).words
            return [
                tag_record(
                    words,
                    data.words.firsts[row],
                    softmax(data.words.at_words(row, outputs[row])),
                    self.task.labels,
                )
                for row, words in enumerate(sentences)
            ]
        if self.task.kind == "regression":
            return [{"score": float(value)} for value in outputs]
        labels = self.task.labels
        if self.task.kind == "multi_label":
            return [label_set_record(labels, p) for p in sigmoid(np.stack(outputs))]
        return [class_record(labels, p) for p in softmax(np.stack(outputs))]

    def metrics(self, data: Prepared) -> dict[str, float]:
        """The task's metrics on labelled rows, the first one first."""
        return self.evaluate(data).metrics

    def evaluate(self, data: Prepared) -> Evaluation:
        """The task's metrics on labelled rows, and which classes were confused."""
        records = self.predictions(data)
        if data.questions is not None:
            predicted: Any = {r["id"]: r["answer"] for r in records}
            questions = data.examples.references
            return Evaluation(compute_metrics(self.task, predicted, questions))
        if data.words is not None:
            predicted = [r["tags"] for r in records]
            sentences = data.examples.references
            return Evaluation(compute_metrics(self.task, predicted, sentences))
        labels = rows_as(Examples, data.examples).references
        if self.task.kind == "regression":
            predicted = np.array([r["score"] for r in records])
            return Evaluation(compute_metrics(self.task, predicted, labels))
        if self.task.kind == "multi_label":
            predicted = np.array(
                [[n in r["labels"] for n in self.task.labels] for r in records]
            )
            return Evaluation(compute_metrics(self.task, predicted, labels))
        index = {label: i for i, label in enumerate(self.task.labels)}
        predicted = np.array([index[r["label"]] for r in records])
        return Evaluation(
            compute_metrics(self.task, predicted, labels),
            confusion(self.task.labels, labels, predicted),
        )
