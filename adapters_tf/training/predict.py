"""A model's outputs for tokenised rows, in their order."""

from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.data.batches import eval_batches
from adapters_tf.data.features import Features
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.training.shares import split_rows
from adapters_tf.training.strategy import is_tpu, per_replica

_INPUTS = ("token_ids", "segment_ids", "padding_mask")


class Predictor:
    """Runs a model on batches of rows of like length.

    Make it in the scope of the strategy that the model was made in: each batch is
    divided among the replicas, and every process gets all outputs. One trace serves
    every batch shape, and every adapter set with `model.set_adapter`.

    Args:
        model: The model.
        batch_size: Rows at a time.
    """

    def __init__(self, model: AdapterModel, batch_size: int = 64) -> None:
        self.batch_size = batch_size
        self._model = model
        self._strategy = tf.distribute.get_strategy()
        self._replicas = self._strategy.num_replicas_in_sync
        self._static = is_tpu(self._strategy)
        inputs = tf.TensorSpec([None, None], tf.int32)
        signature = [{name: inputs for name in _INPUTS}]
        self._run: Any = (
            tf.function(self.replica_step, input_signature=signature)
            if self._replicas == 1 and not self._static
            else tf.function(self._on_replicas, reduce_retracing=True)
        )

    def replica_step(self, x: Any) -> Any:
        """The outputs of one replica's rows."""
        return self._model(x, training=False)

    def _on_replicas(self, x: Any) -> Any:
        outputs = self._strategy.run(self.replica_step, args=(x,))
        return self._strategy.gather(outputs, axis=0)

    def __call__(self, features: Features) -> list[Any]:
        """Each row's output.

        Returns:
            N arrays, in the order of the rows: logits `[classes]`, a score
            `[]`, or `[length, 2]` span logits without padding.
        """
        outputs: list[Any] = [None] * len(features)
        lengths = features.lengths
        longest = -(-int(lengths.max()) // 8) * 8 if len(lengths) else 0
        for rows in eval_batches(lengths, self.batch_size):
            values = self._outputs(features, rows, longest)[: len(rows)]
            for row, value in zip(rows, values, strict=True):
                outputs[row] = value[: lengths[row]] if value.ndim == 2 else value
        return outputs

    def _outputs(self, features: Features, rows: np.ndarray, longest: int) -> Any:
        if self._replicas == 1 and not self._static:
            return self._run(features.batch(rows)).numpy()
        size = -(-self.batch_size // self._replicas) if self._static else None
        shares, _ = split_rows(rows, self._replicas, size)
        length = longest
        if not self._static:
            length = -(-int(features.lengths[rows].max()) // 8) * 8
        x = per_replica(
            self._strategy, lambda replica: features.batch(shares[replica], 8, length)
        )
        return self._run(x).numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis, in float64."""
    logits = np.asarray(logits, np.float64)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
