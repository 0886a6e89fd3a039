"""Activation functions of adapters, by name."""

from typing import Any

import keras

from adapters_tf.errors import UserError
from adapters_tf.layers.gelu import gelu_tanh, recomputable

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
