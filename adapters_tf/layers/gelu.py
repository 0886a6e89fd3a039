"""GELU that keeps nothing but its input for the gradient, in this library's train step.

TensorFlow keeps what GELU is made of until the gradient is taken: tensors as large as
the feed-forward layer, the widest of a block.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras

_recompute: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "adapters_tf_recompute_gelu", default=False
)


@contextlib.contextmanager
def recompute_gelu() -> Iterator[None]:
    """Within it, `gelu` and `gelu_tanh` are computed again for their gradient.

    For a train step that is not exported: a custom gradient is lost in TF1 sessions.
    TensorFlow backend only.
    """
    token = _recompute.set(True)
    try:
        yield
    finally:
        _recompute.reset(token)


def gelu(x: Any) -> Any:
    """`x * Phi(x)`, which is `keras.activations.gelu`; see `recompute_gelu`."""
    return _gelu(x, approximate=False)


def gelu_tanh(x: Any) -> Any:
    """The form of the reference code, with tanh: `keras.activations.gelu` likewise."""
    return _gelu(x, approximate=True)


# keras-hub's blocks are given one of these, by name.
_OURS = {"gelu": gelu, "gelu_approximate": gelu_tanh}


def frugal(activation: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same activation, from here if it is Keras's or keras-hub's GELU."""
    return _OURS.get(getattr(activation, "__name__", ""), activation)


def _gelu(x: Any, approximate: bool) -> Any:
    if not _recompute.get():
        return keras.activations.gelu(x, approximate=approximate)
    import tensorflow as tf

    @tf.custom_gradient
    def compute(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        y = keras.activations.gelu(x, approximate=approximate)
        return y, functools.partial(_gradient, x, approximate)

    return compute(x)


def _gradient(x: Any, approximate: bool, upstream: Any) -> Any:
    """Of one or the other form, in float32, by hand."""
    import tensorflow as tf

    dtype = x.dtype
    # Else it is shared with the forward pass, and kept after all.
    with tf.control_dependencies([upstream]):
        x = tf.cast(tf.identity(x), tf.float32)
    square = tf.square(x)
    if approximate:
        # 0.5 (1 + tanh(z)) is sigmoid(2 z), z = sqrt(2 / pi) (x + 0.044715 x^3).
        one = 2 * math.sqrt(2 / math.pi)
        three = one * 0.044715
        share = tf.sigmoid(x * (one + three * square))
        slope = x * share * (1 - share) * (one + 3 * three * square)
    else:
        share = 0.5 * tf.math.erfc(-x / math.sqrt(2))
        slope = x * tf.exp(-0.5 * square) / math.sqrt(2 * math.pi)
    return tf.cast(tf.cast(upstream, tf.float32) * (share + slope), dtype)
