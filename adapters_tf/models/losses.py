"""The losses of question answering and of tags, and the weights of examples."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="adapters_tf")
class SpanLoss(keras.losses.Loss):
    """Mean of the cross-entropies of the start and the end position.

    As in BERT's `run_squad.py`. Labels are `[batch, 2]` positions, logits
    `[batch, length, 2]`; each example's loss is a float32 number.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = ops.cast(ops.transpose(y_pred, (0, 2, 1)), "float32")
        losses = keras.losses.sparse_categorical_crossentropy(
            y_true, y_pred, from_logits=True
        )
        return ops.mean(losses, axis=-1)


@keras.saving.register_keras_serializable(package="adapters_tf")
class TagLoss(keras.losses.Loss):
    """Mean of the cross-entropies of a sentence's words.

    Labels are `[batch, length]` classes, negative at tokens that do not count, and may
    be longer than the logits `[batch, tokens, classes]`; each example's loss is a
    float32 number, 0 where nothing counts.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        classes = ops.cast(y_true[:, : ops.shape(y_pred)[1]], "int32")
        counts = ops.cast(classes >= 0, "float32")
        losses = keras.losses.sparse_categorical_crossentropy(
            ops.maximum(classes, 0), ops.cast(y_pred, "float32"), from_logits=True
        )
        return ops.sum(losses * counts, axis=-1) / ops.maximum(
            ops.sum(counts, axis=-1), 1
        )


def example_weights(weight: Any, rows: Any) -> Any:
    """`[rows]` float32 weights of `[rows]` or `[rows, 1]` ones, or of `None`."""
    if weight is None:
        return ops.ones((rows,), "float32")
    return ops.reshape(ops.cast(weight, "float32"), (rows,))
