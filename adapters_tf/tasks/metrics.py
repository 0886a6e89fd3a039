"""The metrics of the paper, on NumPy arrays, and a constant predictor's.

All values are fractions or coefficients, not percent: accuracy, F1 and exact
match lie in [0, 1], correlations in [-1, 1].
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import scipy.stats
import seqeval.metrics
import sklearn.metrics
from absl import logging
from official.nlp.tools import squad_evaluate_v1_1

from adapters_tf.data.examples import QuestionExamples, WordExamples
from adapters_tf.data.tags import OUTSIDE
from adapters_tf.tasks.task import Task

Predictions = np.ndarray | Sequence[float] | Mapping[str, str] | Sequence[Sequence[str]]
References = np.ndarray | Sequence[float] | QuestionExamples | WordExamples


def compute_metrics(
    task: Task, predictions: Predictions, references: References
) -> dict[str, float]:
    """Scores predictions with the metrics of a task.

    - `accuracy`; `f1` of class 1, for two classes; `f1_macro`, the mean F1 of
      the classes that occur in predictions or references; `matthews`: those
      of scikit-learn, where 0/0 counts as 0.
    - `f1_micro`, `f1_macro` of several labels a row: those of scikit-learn, over
      all decisions, and the mean over the labels that occur in predictions or
      references.
    - `spearman`, `pearson`: those of SciPy. They are 0 where they are not
      defined: for constant predictions or references, fewer than 2 rows, or
      predictions that are not finite.
    - `entity_f1`, `entity_precision`, `entity_recall`: those of seqeval over whole
      entities, as conlleval counts them; 0/0 counts as 0.
    - `f1`, `exact_match` of question answering: those of the official SQuAD
      v1.1 script, the best over the answers of each question, as in TensorFlow
      Model Garden.

    Args:
        task: Names the kind and the metrics.
        predictions: `[N]` class indices for classification, `[N]` scores for
            regression, `[N, classes]` of 0 and 1 for several labels a row, the
            answer text by id for question answering, the N sentences' tags for
            words.
        references: `[N]` class indices, `[N]` scores, `[N, classes]` of 0 and 1,
            the questions, or the tagged sentences.

    Returns:
        The value of each of `task.metrics`, in their order.

    Raises:
        ValueError: The shapes or the ids do not match, there are no rows, a
            question has no reference answer, or a metric is not known.
    """
    if task.kind == "question_answering":
        values = _question_metrics(predictions, references)
        return {name: values[_known(name, values)] for name in task.metrics}
    if task.kind == "token_classification":
        values = _entity_metrics(task, predictions, references)
        return {name: values[_known(name, values)] for name in task.metrics}
    predicted, expected = np.asarray(predictions), np.asarray(references)
    several = task.kind == "multi_label"
    if (
        predicted.shape != expected.shape
        or predicted.ndim != 1 + several
        or not len(predicted)
    ):
        raise ValueError(
            "Predictions and references must have the same shape "
            f"{'[N, classes]' if several else '[N]'}, with N at least 1. Received: "
            f"{predicted.shape} and {expected.shape}"
        )
    functions = {"classification": _CLASS, "multi_label": _SETS}.get(task.kind, _SCORE)
    return {
        name: float(functions[_known(name, functions)](expected, predicted))
        for name in task.metrics
    }


def majority_baseline(
    task: Task, train_labels: References, dev_labels: References
) -> dict[str, float]:
    """The metrics of the best prediction that ignores the texts.

    This is the most frequent class of the training rows (the first of those
    equally frequent), their mean score, the labels that at least half of them have,
    an empty answer, or no entity.

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
    if isinstance(dev_labels, WordExamples):
        outside = [[OUTSIDE] * len(words) for words in dev_labels.words]
        return compute_metrics(task, outside, dev_labels)
    labels = np.asarray(train_labels)
    if task.kind == "classification":
        constant = np.bincount(labels).argmax()
    elif task.kind == "multi_label":
        often = labels.mean(axis=0) >= 0.5
        return compute_metrics(task, np.tile(often, (len(dev_labels), 1)), dev_labels)
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


def _f1_of_sets(expected: np.ndarray, given: np.ndarray, average: str) -> float:
    expected, given = expected.astype(bool), given.astype(bool)
    occur = np.flatnonzero((expected | given).any(axis=0))
    if not len(occur):
        return 0.0
    expected, given = expected[:, occur], given[:, occur]
    if len(occur) == 1:
        # scikit-learn takes one column for two classes, and would count the rows
        # without the label as found.
        expected, given, average = expected[:, 0], given[:, 0], "binary"
    return sklearn.metrics.f1_score(expected, given, average=average, zero_division=0.0)


_CLASS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": sklearn.metrics.accuracy_score,
    "f1": _f1_binary,
    "f1_macro": _f1_macro,
    "matthews": sklearn.metrics.matthews_corrcoef,
}
_SETS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "f1_micro": lambda e, g: _f1_of_sets(e, g, "micro"),
    "f1_macro": lambda e, g: _f1_of_sets(e, g, "macro"),
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


def _entity_metrics(
    task: Task, predictions: Predictions, references: References
) -> dict[str, float]:
    if not isinstance(references, WordExamples) or not references.tags:
        raise ValueError(
            "Tags are scored on WordExamples with tags. Received: "
            f"{type(references).__name__}"
        )
    expected = [[task.labels[i] for i in tags] for tags in references.tags]
    given = [list(tags) for tags in cast(Sequence[Sequence[str]], predictions)]
    if [len(tags) for tags in given] != [len(tags) for tags in expected]:
        raise ValueError(
            "Every word needs a predicted tag. Received: tags of "
            f"{len(given)} sentences for {len(expected)}, or of another length"
        )
    return {
        f"entity_{name}": float(function(expected, given, zero_division=0))
        for name, function in (
            ("f1", seqeval.metrics.f1_score),
            ("precision", seqeval.metrics.precision_score),
            ("recall", seqeval.metrics.recall_score),
        )
    }


def _known(name: str, known: Mapping) -> str:
    if name not in known:
        raise ValueError(
            f"A metric must be one of {', '.join(known)} here. Received: {name!r}"
        )
    return name
