"""A model's outputs for tokenised rows, in their order."""

from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.data.batches import eval_batches
from adapters_tf.data.features import Features
from adapters_tf.models.adapter_model import AdapterModel


class Predictor:
    """Runs a model on batches of rows of like length.

    One trace serves every batch shape, and every adapter set with
    `model.set_adapter`.

    Args:
        model: The model.
        batch_size: Rows at a time.
    """

    def __init__(self, model: AdapterModel, batch_size: int = 64) -> None:
        self.batch_size = batch_size
        inputs = tf.TensorSpec([None, None], tf.int32)
        names = ("token_ids", "segment_ids", "padding_mask")
        self._run = tf.function(
            lambda x: model(x, training=False),
            input_signature=[{name: inputs for name in names}],
        )

    def __call__(self, features: Features) -> list[Any]:
        """Each row's output.

        Returns:
            N arrays, in the order of the rows: logits `[classes]`, a score
            `[]`, or `[length, 2]` span logits without padding.
        """
        outputs: list[Any] = [None] * len(features)
        lengths = features.lengths
        for rows in eval_batches(lengths, self.batch_size):
            values = self._run(features.batch(rows)).numpy()
            for row, value in zip(rows, values, strict=True):
                outputs[row] = value[: lengths[row]] if value.ndim == 2 else value
        return outputs


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis, in float64."""
    logits = np.asarray(logits, np.float64)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
