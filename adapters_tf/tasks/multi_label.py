"""Multi-label classification: any number of labels for one or more texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import scipy.special

from adapters_tf.data import label_sets
from adapters_tf.data.files import DataFile, Table
from adapters_tf.models.task import KindFacts, Task
from adapters_tf.tasks.base import Prepared, RowsOfTasks, Tensors
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.text_kind import TextKind, check_same_shape, repeat_labels


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterMultiLabelClassifier(AdapterTextClassifier):
    """Multi-label classification of one or more texts.

    The head is that of `AdapterTextClassifier` with a sigmoid on each logit, trained on
    the mean of the labels' binary cross-entropies. Outputs are `[batch, num_classes]`
    float32 logits; a logit of 0 or more (a probability of at least 0.5) means that the
    row has the label. Labels are `[batch, num_classes]` floats of 0 and 1.

    Arguments are those of `AdapterTextClassifier`, but one class is enough.
    """

    kind = "multi_label"
    facts = KindFacts(
        labels="set",
        metrics=("f1_micro", "f1_macro"),
        pipeline_tag="text-classification",
        answer="the labels that it gives a probability of 0.5 or more on any text",
    )
    min_classes = 1
    default_loss = staticmethod(
        lambda: keras.losses.BinaryCrossentropy(from_logits=True)
    )

    def default_metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.BinaryAccuracy(name="binary_accuracy", threshold=0.0)]


class MultiLabel(TextKind):
    """Any number of labels per row: all with a probability of 0.5 or more.

    Metrics are scikit-learn's, with 0/0 counted as 0: `f1_micro`, over all decisions;
    `f1_macro`, the mean over the labels that occur in predictions or references.
    References and predictions are `[N, classes]` of 0 and 1.
    """

    name = "multi_label"
    label_kind = "multi"
    model_class = AdapterMultiLabelClassifier

    def recognises(self, file: DataFile) -> bool:
        return file.format.for_several_labels

    def table(self, file: DataFile) -> Table:
        return file.table_of_sets if file.has_labels else file.table

    def check_format(self, file: DataFile, name: str) -> None:
        """Accept every format."""

    def infer_labels(self, file: DataFile) -> tuple[str, ...]:
        return file.format.label_columns or label_sets.infer_names(
            file.table_of_sets.label_sets or [],
            file.format.label_separator,
            file.path,
        )

    def encode(self, table: Table, labels: Sequence[str]) -> np.ndarray:
        return label_sets.encode(
            table.label_sets or [], labels, lines=table.lines, path=table.path
        )

    def records(
        self, task: Task, outputs: Sequence[Any], prepared: Prepared
    ) -> list[dict[str, Any]]:
        """Return `labels` with a probability of 0.5 or more, and `probabilities`."""
        probabilities = scipy.special.expit(np.asarray(np.stack(outputs), np.float64))
        return [label_set_record(task.labels, p) for p in probabilities]

    def predictions(
        self, task: Task, records: Sequence[Mapping[str, Any]]
    ) -> np.ndarray:
        return np.array([[n in r["labels"] for n in task.labels] for r in records])

    def scores(self, task: Task, predictions: Any, references: Any) -> dict[str, float]:
        given, expected = check_same_shape(predictions, references, ndim=2)
        return {
            f"f1_{average}": _f1(expected.astype(bool), given.astype(bool), average)
            for average in ("micro", "macro")
        }

    def majority(self, task: Task, train: Any, dev: Any) -> np.ndarray:
        """Return the labels that at least half of the training rows have."""
        often = np.asarray(train).mean(axis=0) >= 0.5
        return np.tile(often, (len(dev), 1))

    def token_outputs(self, logits: Any, labels: Any) -> Tensors:
        """Return `labels` and `probabilities` `[B, C]`."""
        import tensorflow as tf

        labels = repeat_labels(labels, logits)
        return {"labels": labels, "probabilities": tf.sigmoid(logits)}

    def mixed_outputs(self, rows: RowsOfTasks) -> Tensors:
        """Return the same as `token_outputs`, padded to the classes of all tasks."""
        import tensorflow as tf

        inside, logits = rows.logits
        return {
            "labels": rows.labels(rows.num_classes),
            "probabilities": tf.where(inside, tf.sigmoid(logits), 0.0),
        }

    def served_record(
        self, task: Task, outputs: Mapping[str, Any], row: tuple[str, ...], row_id: Any
    ) -> dict[str, Any]:
        return label_set_record(task.labels, outputs["probabilities"])


def label_set_record(
    labels: Sequence[str], probabilities: np.ndarray
) -> dict[str, Any]:
    """Return a JSON-like record of one row with any number of labels.

    Args:
        labels: The C labels by index.
        probabilities: `[C]` independent probabilities.

    Returns:
        `labels` with a probability of 0.5 or more, and `probabilities` by label.
    """
    by_label = dict(zip(labels, probabilities.tolist(), strict=True))
    return {
        "labels": [name for name, p in by_label.items() if p >= 0.5],
        "probabilities": by_label,
    }


def _f1(expected: np.ndarray, given: np.ndarray, average: str) -> float:
    import sklearn.metrics as sk

    occur = np.flatnonzero((expected | given).any(axis=0))
    if not len(occur):
        return 0.0
    expected, given = expected[:, occur], given[:, occur]
    if len(occur) == 1:
        # scikit-learn reads one column as two classes, and would count rows without the
        # label as correct.
        expected, given, average = expected[:, 0], given[:, 0], "binary"
    return sk.f1_score(expected, given, average=average, zero_division=0.0)
