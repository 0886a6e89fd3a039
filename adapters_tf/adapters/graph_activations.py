"""Activations of exported adapters, chosen by number inside a TensorFlow graph."""

from typing import Any

import tensorflow as tf

from adapters_tf.layers.activations import ACTIVATIONS, get_activation


def _function(name: str) -> Any:
    if name == "silu":
        # TensorFlow's own has a custom gradient, which is lost in the branches of a
        # SavedModel.
        return lambda x: x * tf.sigmoid(x)
    return get_activation(name)


_VECTORS = tf.TensorSpec([None, None, None], tf.float32)


# Use a single level of branches: loading a SavedModel loses the gradient of nested
# branches.
@tf.function(
    input_signature=[_VECTORS, tf.TensorSpec([], tf.int32)],
    experimental_attributes={"_noinline": True},
    autograph=False,
)
def activate(x: Any, code: Any) -> Any:
    """Apply the activation of this number.

    Args:
        x: `[batch, length, m]` float32.
        code: Scalar int32.

    Returns:
        A tensor of the shape of `x`.
    """
    functions = [_function(name) for name in ACTIVATIONS]
    return tf.switch_case(code, [lambda f=f: f(x) for f in functions])


@tf.function(
    input_signature=[_VECTORS, tf.TensorSpec([None], tf.int32)],
    experimental_attributes={"_noinline": True},
    autograph=False,
)
def activate_rows(x: Any, codes: Any) -> Any:
    """Apply each row's own activation; for inference.

    Args:
        x: `[batch, length, m]` float32.
        codes: `[batch]` int32.

    Returns:
        A tensor of the shape of `x`.
    """

    def several() -> Any:
        y = x
        for code, name in enumerate(ACTIVATIONS):
            rows = tf.equal(codes, code)
            function = _function(name)

            def replaced(y: Any = y, f: Any = function, rows: Any = rows) -> Any:
                return tf.where(rows[:, None, None], f(x), y)

            # Compute only the activations that this batch needs.
            y = tf.cond(tf.reduce_any(rows), replaced, lambda y=y: y)
        return y

    same = tf.reduce_all(tf.equal(codes, codes[:1]))
    return tf.cond(same, lambda: activate(x, tf.reduce_max(codes)), several)
