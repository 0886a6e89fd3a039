"""The loss of extractive question answering."""

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
