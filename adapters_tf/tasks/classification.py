"""Classification: one of several classes for one or more texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import scipy.special

from adapters_tf.data.examples import Examples, Rows, rows_as
from adapters_tf.data.files import DataFile, Table
from adapters_tf.data.labels import encode_class_labels, infer_labels
from adapters_tf.models.adapter_backbone import AdapterBackbone, check_backbone
from adapters_tf.models.task import KindFacts, Task
from adapters_tf.models.task_record import check_num_classes
from adapters_tf.models.text_model import TextModel
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.base import Prepared, RowsOfTasks, Tensors
from adapters_tf.tasks.text_kind import TextKind, check_same_shape, repeat_labels


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterTextClassifier(TextModel):
    """Classification of one or more texts.

    Head: the representation of the first token, dropout, a linear layer
    (paper, section 2.1). Outputs are `[batch, num_classes]` float32 logits. Labels are
    `[batch]` class indices from 0; `fit` also takes names of classes.

    Args:
        backbone: The encoder, such as a `BertAdapterBackbone`.
        num_classes: Number of classes, 2 or more.
        preprocessor: The keras-hub preprocessor, or `None` to take tensors.
        head_input: `"cls"`: the last block's vector of the first token; `"pooled"`:
            this vector after the pretrained, frozen tanh pooler, as in the reference
            code; `"mean"`: the mean over the tokens.
        dropout: Dropout rate on the head's input.
        tuning: See `Tuning`.
        hidden_layer: Add a dense layer with tanh before the linear one, as in
            AdapterHub's default head.
        **kwargs: As `AdapterModel`, such as `labels`.

    Attributes:
        min_classes: The smallest valid number of classes.

    Raises:
        ValueError: if `head_input` or `tuning` is unknown.
        UserError: if there are too few classes, the backbone is not an
            `AdapterBackbone` or another live model uses it, or `head_input` is
            `"pooled"` and the backbone has no pooler.
    """

    kind = "classification"
    facts = KindFacts(
        metrics=("accuracy", "f1_macro"), pipeline_tag="text-classification"
    )
    min_classes = 2
    default_loss = staticmethod(
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )

    def __init__(
        self,
        backbone: AdapterBackbone,
        num_classes: int,
        preprocessor: Any = None,
        head_input: str = "cls",
        dropout: float = 0.1,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        hidden_layer: bool = False,
        **kwargs: Any,
    ) -> None:
        check_backbone(backbone)
        num_classes = check_num_classes(num_classes, self.min_classes)
        super().__init__(
            backbone,
            num_classes,
            preprocessor,
            head_input,
            dropout,
            tuning,
            hidden_layer=hidden_layer,
            **kwargs,
        )
        self.num_classes = num_classes

    def default_metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def head_config(self) -> dict[str, Any]:
        return {"num_classes": self.output_shape[-1], **super().head_config()}


class Classification(TextKind):
    """One class for each row: the most probable one.

    Metrics are scikit-learn's, with 0/0 counted as 0: `accuracy`; `f1` of class 1, for
    two classes; `f1_macro`, the mean F1 of the classes that occur in predictions or
    references; `matthews`. References and predictions are `[N]` class indices.
    """

    name = "classification"
    label_kind = "class"
    model_class = AdapterTextClassifier

    def recognises(self, file: DataFile) -> bool:
        return True

    def infer_labels(self, file: DataFile) -> tuple[str, ...]:
        return infer_labels(file.table.raw_labels or [])

    def encode(self, table: Table, labels: Sequence[str]) -> np.ndarray:
        return encode_class_labels(
            table.raw_labels or [], labels, lines=table.lines, path=table.path
        )

    def strata(self, rows: Rows) -> np.ndarray | None:
        return rows_as(Examples, rows).labels

    def records(
        self, task: Task, outputs: Sequence[Any], prepared: Prepared
    ) -> list[dict[str, Any]]:
        """Return `label`, its probability as `score`, and `probabilities` by class."""
        logits = np.asarray(np.stack(outputs), np.float64)
        return [
            class_record(task.labels, p) for p in scipy.special.softmax(logits, axis=-1)
        ]

    def predictions(
        self, task: Task, records: Sequence[Mapping[str, Any]]
    ) -> np.ndarray:
        index = {label: i for i, label in enumerate(task.labels)}
        return np.array([index[r["label"]] for r in records])

    def scores(self, task: Task, predictions: Any, references: Any) -> dict[str, float]:
        import sklearn.metrics as sk

        given, expected = check_same_shape(predictions, references)
        f1 = {"average": "macro", "zero_division": 0.0}
        return {
            "accuracy": sk.accuracy_score(expected, given),
            "f1": sk.f1_score(expected, given, labels=[1], **f1),
            "f1_macro": sk.f1_score(expected, given, **f1),
            "matthews": sk.matthews_corrcoef(expected, given),
        }

    def majority(self, task: Task, train: Any, dev: Any) -> np.ndarray:
        """Return the most frequent class; of equally frequent ones, the first."""
        return np.full(len(dev), np.bincount(np.asarray(train)).argmax())

    def confusion(
        self, task: Task, predictions: Any, references: Any
    ) -> dict[str, Any] | None:
        return confusion(task.labels, references, predictions)

    def token_outputs(self, logits: Any, labels: Any) -> Tensors:
        """Return `label` `[B]`, `labels` and `probabilities` `[B, C]`."""
        import tensorflow as tf

        labels = repeat_labels(labels, logits)
        best = tf.argmax(logits, axis=1)
        return {
            "label": tf.gather(labels, best, batch_dims=1),
            "labels": labels,
            "probabilities": tf.nn.softmax(logits),
        }

    def mixed_outputs(self, rows: RowsOfTasks) -> Tensors:
        """Return the same as `token_outputs`, padded to the classes of all tasks."""
        import tensorflow as tf

        inside, logits = rows.logits
        probabilities = tf.nn.softmax(tf.where(inside, logits, logits.dtype.min))
        labels = rows.labels(rows.num_classes)
        best = tf.argmax(probabilities, axis=1)
        return {
            "label": tf.gather(labels, best, batch_dims=1),
            "labels": labels,
            "probabilities": tf.where(inside, probabilities, 0.0),
        }

    def served_record(
        self, task: Task, outputs: Mapping[str, Any], row: tuple[str, ...], row_id: Any
    ) -> dict[str, Any]:
        return class_record(task.labels, outputs["probabilities"])


def class_record(labels: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
    """Return a JSON-like record of one row with its class.

    Args:
        labels: The C classes by index.
        probabilities: `[C]`.

    Returns:
        `label`, the most probable class; `score`, its probability; and `probabilities`
        by class.
    """
    best = int(np.argmax(probabilities))
    return {
        "label": labels[best],
        "score": float(probabilities[best]),
        "probabilities": dict(zip(labels, probabilities.tolist(), strict=True)),
    }


def confusion(
    names: Sequence[str],
    references: np.ndarray,
    predicted: np.ndarray | Sequence[float],
) -> dict[str, Any]:
    """Compute the confusion matrix.

    Args:
        names: The classes.
        references: `[N]` class indices.
        predicted: `[N]` class indices.

    Returns:
        JSON values `labels` and `counts`, where `counts[i][j]` rows of class i were
        predicted as class j.
    """
    import sklearn.metrics as sk

    counts = sk.confusion_matrix(references, predicted, labels=range(len(names)))
    return {"labels": list(names), "counts": counts.tolist()}
