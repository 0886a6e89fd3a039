"""The base class of the task models on JAX; it works without TensorFlow."""

import contextlib
import importlib.util
from typing import Any

import jax
import keras
import keras_hub
import numpy as np
from keras import ops

from adapters_tf.errors import UserError
from adapters_tf.models.arrays import (
    example_weights,
    map_columns,
    num_rows,
    plain_columns,
)
from adapters_tf.models.features import padded_length
from adapters_tf.models.optimizer import check_optimizer
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.trainable_set import check_trainable_set

# XLA compiles a step for each length, so keep the number of lengths small.
_LENGTH_MULTIPLE = 32


def without_autograph(function: Any) -> Any:
    """Return the function itself: JAX has no AutoGraph."""
    return function


class JaxTask(keras_hub.models.Task):
    """The JAX part of `AdapterModel`, with the same interface as `TensorFlowTask`.

    The train step computes the same as TensorFlow's, except for the random numbers of
    dropout: a weighted mean over the examples, and gradients clipped by their global
    norm. For several devices, use `keras.distribution` (untested).

    Attributes:
        jit_default: Default of `jit_compile` in `compile`.
    """

    jit_default = True

    def get_ready(self) -> None:
        """Check before `fit`, `evaluate` and `predict` that rows can be read.

        Raises:
            UserError: if a required library is not installed.
        """
        if importlib.util.find_spec("grain") is None:
            raise UserError(
                "fit, evaluate and predict on Keras's JAX backend need the package "
                "grain. Received: an environment without it. pip install grain; or "
                "call the model on preprocessed tensors"
            )
        if self.preprocessor is not None:
            # keras-hub builds its parts in the first call, which is not thread-safe;
            # Grain uses several threads.
            preprocess_texts(self.preprocessor, ["a"])

    def variable_scope(self) -> Any:
        """Return the context in which to create further variables."""
        return contextlib.nullcontext()

    def without_padding(self, x: dict[str, Any]) -> dict[str, Any]:
        """Cut a preprocessed batch to its longest row, rounded up."""
        arrays = {name: np.asarray(value, np.int32) for name, value in x.items()}
        mask = arrays["padding_mask"]
        lengths = mask.sum(axis=-1)
        length = padded_length(lengths, _LENGTH_MULTIPLE, most=mask.shape[-1])
        return {name: value[..., :length] for name, value in arrays.items()}

    def tokenized(self, x: Any) -> Any:
        """Return the rows: Grain calls the tokenizer without a graph."""
        return x

    def shuffled(self, rows: tuple[Any, ...], batch_size: int | None) -> Any:
        """Make a Grain dataset of batches, in another order in each epoch.

        Args:
            rows: `(x, y, sample_weight)` of columns in memory, `None` where absent.
            batch_size: Rows of a batch; 32 by default.
        """
        import grain

        columns = map_columns(plain_columns(rows), np.asarray)
        data = grain.MapDataset.range(num_rows(columns)).shuffle(seed=self.seed)
        data = data.map(lambda row: map_columns(columns, lambda c: c[row]))
        return data.batch(batch_size or 32)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile as `keras.Model.compile`; the seed determines the dropout masks."""
        super().compile(*args, **kwargs)
        generators = [
            layer.seed_generator
            for layer in self._flatten_layers()
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0
        ]
        for number, generator in enumerate(generators):
            generator.state.assign([self.seed % 2**32, number << 24])

    def train_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        check_trainable_set(self)  # For loops that do not call `fit`.
        check_optimizer(self.optimizer)
        trainable, fixed, optimizer_state, metrics_state = state
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)

        def loss(trainable: Any, fixed: Any) -> tuple[Any, Any]:
            outputs, fixed = self.stateless_call(trainable, fixed, x, training=True)
            loss_sum, weight_sum = self._loss_and_weight(y, outputs, weight)
            mean = ops.divide_no_nan(loss_sum, weight_sum)
            return mean, (outputs, fixed, loss_sum, weight_sum)

        gradients_of = jax.grad(loss, has_aux=True)
        gradients, (outputs, fixed, *sums) = gradients_of(trainable, fixed)
        if self.clip_norm is not None:
            gradients = _clipped(gradients, self.clip_norm)
        trainable, optimizer_state = self.optimizer.stateless_apply(
            optimizer_state, gradients, trainable
        )
        logs, metrics_state = self._logs(metrics_state, x, y, outputs, weight, sums)
        return logs, (trainable, fixed, optimizer_state, metrics_state)

    def test_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        trainable, fixed, metrics_state = state
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        outputs, fixed = self.stateless_call(trainable, fixed, x, training=False)
        sums = self._loss_and_weight(y, outputs, weight)
        logs, metrics_state = self._logs(metrics_state, x, y, outputs, weight, sums)
        return logs, (trainable, fixed, metrics_state)

    def _loss_and_weight(self, y: Any, outputs: Any, weight: Any) -> tuple[Any, Any]:
        losses = self.example_losses(y, outputs)
        weights = example_weights(weight, losses.shape[0])
        return ops.sum(losses * weights), ops.sum(weights)

    def _logs(
        self, state: Any, x: Any, y: Any, outputs: Any, weight: Any, sums: Any
    ) -> tuple[dict[str, Any], list[Any]]:
        """Add a batch to the metrics; return them and their variables' new values."""
        variables = self.metrics_variables
        with keras.StatelessScope(
            state_mapping=list(zip(variables, state, strict=True))
        ) as scope:
            self.update_loss(*sums)
            logs = self.compute_metrics(x, y, outputs, sample_weight=weight)
        return logs, [scope.get_current_value(variable) for variable in variables]


def _clipped(gradients: list[Any], norm: float) -> list[Any]:
    """Scale gradients so that their global norm is at most `norm`."""
    total = ops.sqrt(sum(ops.sum(ops.square(g)) for g in gradients))
    scale = norm / ops.maximum(total, norm)
    return [g * scale for g in gradients]
