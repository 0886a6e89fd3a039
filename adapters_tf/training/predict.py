"""A model's outputs for tokenised rows, in their order."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.data.batches import eval_batches
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import Features, padded_length
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.training.prefix_cache.hidden_states import HiddenStates, prefix_of
from adapters_tf.training.shares import split_rows
from adapters_tf.training.strategy import is_tpu, per_replica


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
        require_tensorflow_backend("Predictor")
        self.batch_size = batch_size
        self._model = model
        self._positions = getattr(model.backbone, "max_sequence_length", None)
        self._strategy = tf.distribute.get_strategy()
        self._replicas = self._strategy.num_replicas_in_sync
        self._static = is_tpu(self._strategy)
        # By what the rows are: tokens (None), or hidden states of a cut of the model.
        self._functions: dict[FrozenPrefix | None, Any] = {}

    def _function(self, features: Features | HiddenStates) -> Any:
        prefix = prefix_of(features)
        if prefix not in self._functions:
            step = self.replica_step if prefix is None else _inference(prefix.upper)
            self._functions[prefix] = self._traced(step, features)
        return self._functions[prefix]

    def _traced(self, step: Any, features: Features | HiddenStates) -> Any:
        if self._replicas == 1 and not self._static:
            return tf.function(step, input_signature=[features.specs()])

        def on_replicas(x: Any) -> Any:
            outputs = self._strategy.run(step, args=(x,))
            return self._strategy.gather(outputs, axis=0)

        return tf.function(on_replicas, reduce_retracing=True)

    def replica_step(self, x: Any) -> Any:
        """The outputs of one replica's rows."""
        return self._model(x, training=False)

    def __call__(self, features: Features | HiddenStates) -> list[Any]:
        """Each row's output.

        Args:
            features: The rows: tokens, or hidden states under blocks of this model.

        Returns:
            N arrays, in the order of the rows: logits `[classes]`, a score
            `[]`, or `[length, 2]` span logits without padding.
        """
        outputs: list[Any] = [None] * len(features)
        lengths = features.lengths
        for rows in eval_batches(lengths, self.batch_size):
            values = self._outputs(features, rows)[: len(rows)]
            for row, value in zip(rows, values, strict=True):
                outputs[row] = value[: lengths[row]] if value.ndim == 2 else value
        return outputs

    def _outputs(self, features: Features | HiddenStates, rows: np.ndarray) -> Any:
        run = self._function(features)
        # A TPU takes one shape.
        among = features.lengths if self._static else features.lengths[rows]
        length = padded_length(among, most=self._positions)
        if self._replicas == 1 and not self._static:
            return run(features.batch(rows, length=length)).numpy()
        size = -(-self.batch_size // self._replicas) if self._static else None
        shares, _ = split_rows(rows, self._replicas, size)
        x = per_replica(
            self._strategy,
            lambda replica: features.batch(shares[replica], length=length),
        )
        return run(x).numpy()


def _inference(part: keras.Model) -> Any:
    return lambda x: part(x, training=False)
