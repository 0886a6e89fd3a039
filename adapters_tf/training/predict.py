"""Prediction: a model's outputs for rows, in order, and a task's metrics of them."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.data.batches import eval_batches
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import ModelInputs, padded_length
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.task import Task
from adapters_tf.tasks.base import Prepared
from adapters_tf.tasks.kinds import compute_metrics, kind_named
from adapters_tf.training.devices import is_tpu, per_replica, split_rows


class Predictor:
    """Runs a model on batches of rows of similar length.

    Create it in the scope of the strategy that the model was created in. It splits each
    batch over the replicas, and returns all outputs in every process. TensorFlow traces
    it once for all batch shapes and all adapters set with `model.set_adapter`.

    Args:
        model: The model.
        batch_size: Rows of a batch.
    """

    def __init__(self, model: AdapterModel, batch_size: int = 64) -> None:
        require_tensorflow_backend("Predictor")
        self.batch_size = batch_size
        self._model = model
        self._positions = getattr(model.backbone, "max_sequence_length", None)
        self._strategy = tf.distribute.get_strategy()
        self._replicas = self._strategy.num_replicas_in_sync
        self._static = is_tpu(self._strategy)
        # A function for tokens (None), and one for each cut of the model.
        self._functions: dict[FrozenPrefix | None, Any] = {}

    def _function(self, features: ModelInputs) -> Any:
        prefix = features.prefix
        if prefix not in self._functions:
            step = self.replica_step if prefix is None else _inference(prefix.upper)
            self._functions[prefix] = self._traced(step, features)
        return self._functions[prefix]

    def _traced(self, step: Any, features: ModelInputs) -> Any:
        if self._replicas == 1 and not self._static:
            signature = [features.specs()]
            return tf.function(step, input_signature=signature, autograph=False)

        def on_replicas(x: Any) -> Any:
            outputs = self._strategy.run(step, args=(x,))
            return self._strategy.gather(outputs, axis=0)

        return tf.function(on_replicas, reduce_retracing=True, autograph=False)

    def replica_step(self, x: Any) -> Any:
        """The outputs for the rows of one replica."""
        return self._model(x, training=False)

    def __call__(self, features: ModelInputs) -> list[Any]:
        """Compute the model's output for each row.

        Args:
            features: N rows.

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

    def _outputs(self, features: ModelInputs, rows: np.ndarray) -> Any:
        run = self._function(features)
        # A TPU takes batches of one shape.
        among = features.lengths if self._static else features.lengths[rows]
        length = padded_length(among, most=self._positions)
        if self._replicas == 1 and not self._static:
            return run(features.batch(rows, length=length)).numpy()
        size = -(-self.batch_size // self._replicas) if self._static else None
        rows_of, _ = split_rows(rows, self._replicas, size)
        x = per_replica(
            self._strategy,
            lambda replica: features.batch(rows_of[replica], length=length),
        )
        return run(x).numpy()


def _inference(part: keras.Model) -> Any:
    return lambda x: part(x, training=False)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What evaluation found.

    Attributes:
        metrics: The task's metrics, the first one first.
        confusion: See `Kind.confusion`; for classification only.
    """

    metrics: dict[str, float]
    confusion: dict[str, Any] | None = None


class Evaluator:
    """Evaluates a model, and whatever adapter it holds at the time.

    Args:
        predict: Runs the model.
        task: Its task.
    """

    def __init__(self, predict: Predictor, task: Task) -> None:
        self.task = task
        self._kind = kind_named(task.kind)
        self._predict = predict

    def predictions(self, data: Prepared) -> list[dict[str, Any]]:
        """One JSON-like record a row, in the order of the rows; see `Kind.records`."""
        return self._kind.records(self.task, self._predict(data.features), data)

    def metrics(self, data: Prepared) -> dict[str, float]:
        """The task's metrics on labelled rows, the first one first."""
        return self.evaluate(data).metrics

    def evaluate(self, data: Prepared) -> Evaluation:
        """The task's metrics on labelled rows, and which classes were confused."""
        records = self.predictions(data)
        predicted = self._kind.predictions(self.task, records)
        references = data.examples.references
        return Evaluation(
            compute_metrics(self.task, predicted, references),
            self._kind.confusion(self.task, predicted, references),
        )
