"""The metrics of the paper, on NumPy arrays, and a constant predictor's.

All values are fractions or coefficients, not percent: accuracy, F1 and exact
match lie in [0, 1], correlations in [-1, 1].
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.stats
import sklearn.metrics
from absl import logging
from official.nlp.tools import squad_evaluate_v1_1

from adapters_tf.data.examples import QuestionExamples
from adapters_tf.tasks.task import Task

Predictions = np.ndarray | Sequence[float] | Mapping[str, str]
References = np.ndarray | Sequence[float] | QuestionExamples


def compute_metrics(
    task: Task, predictions: Predictions, references: References
) -> dict[str, float]:
    """Scores predictions with the metrics of a task.

    - `accuracy`; `f1` of class 1, for two classes; `f1_macro`, the mean F1 of
      the classes that occur in predictions or references; `matthews`: those
      of scikit-learn, where 0/0 counts as 0.
    - `spearman`, `pearson`: those of SciPy. They are 0 where they are not
      defined: for constant predictions or references, fewer than 2 rows, or
      predictions that are not finite.
    - `f1`, `exact_match` of question answering: those of the official SQuAD
      v1.1 script, the best over the answers of each question, as in TensorFlow
      Model Garden.

    Args:
        task: Names the kind and the metrics.
        predictions: `[N]` class indices for classification, `[N]` scores for
            regression, the answer text by id for question answering.
        references: `[N]` class indices, `[N]` scores, or the questions.

    Returns:
        The value of each of `task.metrics`, in their order.

    Raises:
        ValueError: The shapes or the ids do not match, there are no rows, a
            question has no reference answer, or a metric is not known.
    """
    if task.kind == "question_answering":
        values = _question_metrics(predictions, references)
        return {name: values[_known(name, values)] for name in task.metrics}
    predicted, expected = np.asarray(predictions), np.asarray(references)
    if predicted.shape != expected.shape or predicted.ndim != 1 or not len(predicted):
        raise ValueError(
            "Predictions and references must have the same shape [N], with N at least "
            f"1. Received: {predicted.shape} and {expected.shape}"
        )
    functions = _CLASS if task.kind == "classification" else _SCORE
    return {
        name: float(functions[_known(name, functions)](expected, predicted))
        for name in task.metrics
    }


def majority_baseline(
    task: Task, train_labels: References, dev_labels: References
) -> dict[str, float]:
    """The metrics of the best prediction that ignores the texts.

    This is the most frequent class of the training rows (the first of those
    equally frequent), their mean score, or an empty answer.

    Args:
        task: Names the kind and the metrics.
        train_labels: `[M]` labels of the training rows; not used for question
            answering.
        dev_labels: `[N]` labels, or the questions, to score on.

    Returns:
        The value of each of `task.metrics`, in their order.

    Raises:
        ValueError: As `compute_metrics`.
    """
    if isinstance(dev_labels, QuestionExamples):
        return compute_metrics(task, dict.fromkeys(dev_labels.ids, ""), dev_labels)
    labels = np.asarray(train_labels)
    if task.kind == "classification":
        constant = np.bincount(labels).argmax()
    else:
        constant = labels.mean()
    return compute_metrics(task, np.full(len(dev_labels), constant), dev_labels)


def _correlation(function: Callable, expected: np.ndarray, given: np.ndarray) -> float:
    finite = np.isfinite(given)
    if not finite.all():
        logging.warning(
            "%d of %d predictions are not finite: their correlation is given as 0",
            len(given) - finite.sum(),
            len(given),
        )
        return 0.0
    # SciPy warns and returns NaN for these.
    if len(given) < 2 or np.ptp(given) == 0 or np.ptp(expected) == 0:
        return 0.0
    return function(given.astype(np.float64), expected.astype(np.float64)).statistic


def _f1_binary(expected: np.ndarray, given: np.ndarray) -> float:
    return sklearn.metrics.f1_score(
        expected, given, labels=[1], average="macro", zero_division=0.0
    )


def _f1_macro(expected: np.ndarray, given: np.ndarray) -> float:
    return sklearn.metrics.f1_score(expected, given, average="macro", zero_division=0.0)


_CLASS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": sklearn.metrics.accuracy_score,
    "f1": _f1_binary,
    "f1_macro": _f1_macro,
    "matthews": sklearn.metrics.matthews_corrcoef,
}
_SCORE: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": lambda e, g: _correlation(scipy.stats.spearmanr, e, g),
    "pearson": lambda e, g: _correlation(scipy.stats.pearsonr, e, g),
}


def _question_metrics(
    predictions: Predictions, references: References
) -> dict[str, float]:
    if not isinstance(references, QuestionExamples) or not isinstance(
        predictions, Mapping
    ):
        raise ValueError(
            "Question answering is scored on a mapping of ids to answers and on "
            f"QuestionExamples. Received: {type(predictions).__name__} and "
            f"{type(references).__name__}"
        )
    missing = [i for i in references.ids if i not in predictions]
    unlabelled = [
        i
        for i, answers in zip(references.ids, references.answers, strict=True)
        if not answers
    ]
    if missing or unlabelled or not len(references):
        raise ValueError(
            "Every question needs a prediction and a reference answer. Received: "
            f"{len(references)} questions, {len(missing)} without a prediction "
            f"({missing[:3]}), {len(unlabelled)} without an answer ({unlabelled[:3]})"
        )
    questions = [
        {"id": identity, "answers": [{"text": text} for text in answers]}
        for identity, answers in zip(references.ids, references.answers, strict=True)
    ]
    scores = squad_evaluate_v1_1.evaluate(
        [{"paragraphs": [{"qas": questions}]}], predictions
    )
    return {
        "f1": float(scores["final_f1"]),
        "exact_match": float(scores["exact_match"]),
    }


def _known(name: str, known: Mapping) -> str:
    if name not in known:
        raise ValueError(
            f"A metric must be one of {', '.join(known)} here. Received: {name!r}"
        )
    return name
