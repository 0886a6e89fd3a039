"""Activations of exported adapters, chosen by number inside the graph."""

from typing import Any

import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.layers.bottleneck_adapter import get_activation

# The place in this list is what exports store: add at the end, never change.
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


def activation_code(name: str) -> int:
    """The number of an activation.

    Raises:
        UserError: if it is not one that exports know.
    """
    name = "silu" if name == "swish" else name
    if name not in ACTIVATIONS:
        raise UserError(
            "An exported adapter's activation must be one of "
            f"{', '.join(ACTIVATIONS)}. Received: {name!r}"
        )
    return ACTIVATIONS.index(name)


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None, None], tf.float32),
        tf.TensorSpec([None], tf.int32),
    ]
)
def activate(x: Any, codes: Any) -> Any:
    """Apply each row's activation.

    Args:
        x: `[batch, length, m]` float32.
        codes: `[batch]` or `[1]` int32 numbers of activations.

    Returns:
        A tensor of the shape of `x`.
    """
    functions = [get_activation(name) for name in ACTIVATIONS]

    def one() -> Any:
        return tf.switch_case(codes[0], [lambda f=f: f(x) for f in functions])

    def several() -> Any:
        y = x
        for code, function in enumerate(functions):
            rows = tf.equal(codes, code)

            def replaced(y: Any = y, f: Any = function, rows: Any = rows) -> Any:
                return tf.where(rows[:, None, None], f(x), y)

            # Only the activations that this batch needs are computed.
            y = tf.cond(tf.reduce_any(rows), replaced, lambda y=y: y)
        return y

    return tf.cond(tf.reduce_all(tf.equal(codes, codes[0])), one, several)
