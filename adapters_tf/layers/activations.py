"""Activation functions by name; in training, GELU keeps only its input.

Keras's GELU consists of several operations, and TensorFlow keeps their results until it
computes the gradient. These tensors are as large as the output of the feed-forward
layer, the widest of a block.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras

from adapters_tf.errors import UserError

_recompute: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "adapters_tf_recompute_gelu", default=False
)


@contextlib.contextmanager
def recompute_gelu() -> Iterator[None]:
    """Context in which `gelu` and `gelu_tanh` recompute themselves for the gradient.

    Use it in a train step that is not exported: TF1 sessions lose the custom gradient.
    TensorFlow backend only.
    """
    token = _recompute.set(True)
    try:
        yield
    finally:
        _recompute.reset(token)


def gelu(x: Any) -> Any:
    """Compute `x * Phi(x)`, as `keras.activations.gelu`; see `recompute_gelu`."""
    return _gelu(x, approximate=False)


def gelu_tanh(x: Any) -> Any:
    """Compute the reference code's tanh approximation; see `recompute_gelu`."""
    return _gelu(x, approximate=True)


# The names of both forms in Keras and keras-hub.
_OURS = {"gelu": gelu, "gelu_approximate": gelu_tanh}


def recomputable(activation: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Replace Keras's or keras-hub's GELU by this one; keep other activations."""
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
    """Compute the gradient of the exact or approximate form, in float32."""
    import tensorflow as tf

    dtype = x.dtype
    # Otherwise the graph shares these with the forward pass and keeps them.
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


# Exported adapters store indices into this list, so only append to it.
ACTIVATIONS = (
    "gelu_tanh",
    "gelu",
    "relu",
    "silu",
    "tanh",
    "sigmoid",
    "elu",
    "leaky_relu",
    "relu6",
    "selu",
    "softplus",
    "mish",
    "linear",
)


def get_activation(name: str) -> Any:
    """Return the activation function of this name.

    Args:
        name: `"gelu_tanh"` (`keras.activations.gelu` with `approximate=True`,
            the form of the reference code) or any name that
            `keras.activations.get` knows.
    """
    if name == "gelu_tanh":
        return gelu_tanh
    return recomputable(keras.activations.get(name))


def activation_code(name: str) -> int:
    """Return the number that stands for an activation in exports.

    Raises:
        UserError: if exports do not support the activation.
    """
    name = "silu" if name == "swish" else name
    if name not in ACTIVATIONS:
        raise UserError(
            "An exported adapter's activation must be one of "
            f"{', '.join(ACTIVATIONS)}. Received: {name!r}"
        )
    return ACTIVATIONS.index(name)
