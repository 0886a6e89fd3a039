"""Dropout whose mask depends only on (seed, step, example)."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from adapters_tf.backends import require_tensorflow_backend

_PHILOX = 1  # tf.random.Algorithm.PHILOX
_BYTES_PER_BLOCK = 16  # one Philox counter value yields four 32-bit words


@dataclasses.dataclass
class _Scope:
    seed: Any
    step: Any
    first_row: Any
    calls: int = 0


_scope: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar(
    "adapters_tf_dropout_scope", default=None
)


@contextlib.contextmanager
def dropout_scope(seed: Any, step: Any, first_row: Any = 0) -> Iterator[None]:
    """Context in which every `Dropout` draws its mask from (seed, step, row, layer).

    A run that is resumed or spread over several replicas therefore drops the same units
    as an uninterrupted run on one device. TensorFlow backend only.

    Args:
        seed: The run's seed; Python integer or scalar integer tensor.
        step: The training step; Python integer or scalar integer tensor.
        first_row: Position of this replica's first row in the global batch; Python
            integer or scalar integer tensor.

    Raises:
        UserError: on another backend.
    """
    require_tensorflow_backend("dropout_scope")
    token = _scope.set(_Scope(seed, step, first_row))
    try:
        yield
    finally:
        _scope.reset(token)


def _bits_for(rate: float) -> int:
    # One byte per unit makes random numbers four times cheaper, but rounds the rate to
    # a multiple of 1/256. Use it only if that is within 2% and below 1.
    rounded = round(rate * 256) / 256
    return 8 if rounded < 1 and abs(rounded - rate) <= 0.02 * rate else 16


def _keep_mask(inputs: Any, rate: float, scope: _Scope, call: int) -> Any:
    """Return a 0/1 mask divided by the keep probability, in the inputs' dtype."""
    import tensorflow as tf

    bits = _bits_for(rate)
    threshold = min(round(rate * 2**bits), 2**bits - 1)
    shape = tf.shape(inputs)
    row_units = tf.reduce_prod(shape[1:])
    row_blocks = (row_units * (bits // 8) + _BYTES_PER_BLOCK - 1) // _BYTES_PER_BLOCK
    first_block = tf.cast(scope.first_row, tf.uint64) * tf.cast(row_blocks, tf.uint64)
    # Use one 128-bit counter per 16 bytes: (step, call) in the high half, (row, place)
    # in the low half. No two masks of a run share a random word.
    high = tf.cast(scope.step, tf.uint64) * tf.constant(2**16, tf.uint64)
    high += tf.constant(call, tf.uint64)
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.stack([shape[0], row_blocks * 4]),
        key=tf.reshape(tf.cast(scope.seed, tf.uint64), [1]),
        counter=tf.stack([first_block, high]),
        alg=_PHILOX,
        dtype=tf.uint32,
    )
    units = tf.bitcast(words, tf.uint8 if bits == 8 else tf.uint16)
    units = tf.reshape(units, [shape[0], -1])[:, :row_units]
    kept = tf.reshape(units, shape) >= tf.constant(threshold, units.dtype)
    scale = 1.0 / (1.0 - threshold / 2**bits)
    return tf.cast(kept, inputs.dtype) * tf.constant(scale, inputs.dtype)


@keras.saving.register_keras_serializable(package="adapters_tf")
class Dropout(keras.layers.Dropout):
    """Dropout that is reproducible after a resume and for any split of a batch.

    Outside a `dropout_scope`, it works as `keras.layers.Dropout`. Inside one, a row's
    mask depends only on the seed, the step, the row's place in the global batch and the
    place of this call among the model's dropout calls. Rates are rounded to a multiple
    of 1/256 if that is within 2% of the rate (0.1 becomes 26/256 = 0.1016), otherwise
    of 1/65536. Kept units are scaled by the rounded rate, so the expectation is exact
    in float32. In bfloat16 the scale itself is rounded (by 0.2% for 0.1), as in Keras.

    Attributes:
        fixed: Run in inference mode even during training.
    """

    fixed = False

    def call(self, inputs: Any, training: bool = False) -> Any:
        training = training and not self.fixed
        scope = _scope.get()
        if not training or self.rate in (0, 1) or scope is None:
            return super().call(inputs, training=training)
        call, scope.calls = scope.calls, scope.calls + 1
        return inputs * _keep_mask(
            ops.convert_to_tensor(inputs), self.rate, scope, call
        )
