"""Bottleneck adapters of many tasks in one batch, each row with its own (inference).

What few tasks have, a LayerNorm inside the adapter and further bottleneck layers, are
functions that a graph calls only for batches with such a task. A graph has each of them
once instead of once for each site, which halves the time of its first call.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import ops

from adapters_tf.adapters.base import Rows
from adapters_tf.adapters.bottleneck_forms import (
    DEEP,
    DOWN,
    EPSILON,
    INNER_NORM,
    UP,
    bottleneck,
)
from adapters_tf.adapters.graph_activations import activate, activate_rows


def of_rows(
    bank: dict[str, Any], rows: Rows, every_variant: bool = False
) -> Callable[[str, Any, Any], Any]:
    """Return a function that computes `bottleneck` for rows of many tasks.

    Args:
        bank: The tasks' tensors.
        rows: All rows; their tasks' activations are looked up once.
        every_variant: Whether the bank has inner LayerNorms and further bottleneck
            layers.

    Returns:
        A function of a path, `[n, length, d]` and `[n]` tasks.
    """
    codes = tf.gather(bank["activation"], rows.tasks)
    code = tf.reduce_max(codes)
    same = tf.reduce_all(tf.equal(codes, code))

    def activate_own(hidden: Any, tasks: Any) -> Any:
        return tf.cond(
            same,
            lambda: activate(hidden, code),
            lambda: activate_rows(hidden, tf.gather(bank["activation"], tasks)),
        )

    def compute(path: str, x: Any, tasks: Any) -> Any:
        sizes = tf.gather(bank[f"{path}/size"], tasks)
        # Use at least 0, because without rows there is no largest size.
        units = tf.range(tf.maximum(tf.reduce_max(sizes), 0))
        first = tf.gather(bank[f"{path}/offset"], tasks)
        # Unit 0 is all zeros and pads bottlenecks smaller than the largest.
        places = tf.where(units < sizes[:, None], first[:, None] + units, 0)
        kernel = tf.gather(bank[f"{path}/{DOWN}/kernel"], places)
        bias = tf.gather(bank[f"{path}/{DOWN}/bias"], places)
        up = tf.gather(bank[f"{path}/{UP}/kernel"], places)
        up_bias = tf.gather(bank[f"{path}/{UP}/bias"], tasks)
        deeper = functools.partial(_deeper, bank, path, tasks, sizes)
        normalize = functools.partial(_normalize, bank, path, tasks)
        return bottleneck(
            x,
            lambda x: tf.matmul(x, kernel, transpose_b=True) + bias[:, None, :],
            lambda x: activate_own(x, tasks),
            lambda x: tf.matmul(x, up) + up_bias[:, None, :],
            deeper if every_variant else None,
            normalize if every_variant else None,
        )

    return compute


def _normalize(bank: dict[str, Any], path: str, tasks: Any, x: Any) -> Any:
    """Apply each task's LayerNorm, if it has one, to `[n, length, d]`."""
    gamma, beta = (f"{path}/{name}" for name in INNER_NORM)
    has_one = tf.gather(bank[f"{gamma}/shape"], tasks)[:, 0] > 0

    def normalized() -> Any:
        # Position 0 holds a zero, for tasks without one.
        first = [tf.gather(bank[f"{name}/offset"], tasks) for name in (gamma, beta)]
        values = bank[gamma], bank[beta]
        y = _normalized(x, has_one, *values, *first)
        return tf.ensure_shape(y, x.shape)

    return tf.cond(tf.reduce_any(has_one), normalized, lambda: x)


_ROWS = tf.TensorSpec([None, None, None])
_NUMBERS = tf.TensorSpec([None])
_INTEGERS = tf.TensorSpec([None], tf.int32)


@tf.function(
    input_signature=[
        _ROWS,
        tf.TensorSpec([None], tf.bool),
        _NUMBERS,
        _NUMBERS,
        _INTEGERS,
        _INTEGERS,
    ],
    experimental_attributes={"_noinline": True},
    autograph=False,
)
def _normalized(
    x: Any, has_one: Any, gamma: Any, beta: Any, gamma_first: Any, beta_first: Any
) -> Any:
    """Apply a LayerNorm to rows that have one.

    Args:
        x: `[n, length, d]`.
        has_one: `[n]` bool.
        gamma: The gammas of all tasks, end to end.
        beta: Their betas.
        gamma_first: `[n]` int32: the first number of each row's gamma.
        beta_first: Likewise of its beta.
    """
    places = tf.range(tf.shape(x)[2])
    own = has_one[:, None]
    gamma = tf.gather(gamma, tf.where(own, gamma_first[:, None] + places, 0))
    beta = tf.gather(beta, tf.where(own, beta_first[:, None] + places, 0))
    y = ops.layer_normalization(x, axis=-1, epsilon=EPSILON)
    y = y * gamma[:, None, :] + beta[:, None, :]
    return tf.where(own[:, :, None], y, x)


def _deeper(bank: dict[str, Any], path: str, tasks: Any, sizes: Any, x: Any) -> Any:
    """Apply each task's further bottleneck layers to `[n, length, largest m]`."""
    kernel, bias = (f"{path}/{name}" for name in DEEP)
    depths = tf.gather(bank[f"{kernel}/shape"], tasks)[:, 0]

    def layers() -> Any:
        first = [tf.gather(bank[f"{name}/offset"], tasks) for name in (kernel, bias)]
        codes = tf.gather(bank["activation"], tasks)
        values = bank[kernel], bank[bias]
        return _further_layers(x, depths, sizes, codes, *values, *first)

    return tf.cond(tf.reduce_any(depths > 0), layers, lambda: x)


@tf.function(
    input_signature=[
        _ROWS,
        _INTEGERS,
        _INTEGERS,
        _INTEGERS,
        _NUMBERS,
        _NUMBERS,
        _INTEGERS,
        _INTEGERS,
    ],
    experimental_attributes={"_noinline": True},
    autograph=False,
)
def _further_layers(
    x: Any,
    depths: Any,
    sizes: Any,
    codes: Any,
    kernels: Any,
    biases: Any,
    kernel_first: Any,
    bias_first: Any,
) -> Any:
    """Apply further bottleneck layers to rows that have some.

    Args:
        x: `[n, length, m]`.
        depths: `[n]` int32: the number of layers.
        sizes: `[n]` int32: the units of each row's task, at most m.
        codes: `[n]` int32: the activations.
        kernels: The kernels of all tasks, end to end.
        biases: Their biases.
        kernel_first: `[n]` int32: the first number of each row's kernels.
        bias_first: Likewise of its biases.
    """
    units = tf.range(tf.shape(x)[2])
    size = sizes[:, None]
    shape = tf.TensorShape([None, None, None])

    def layer(i: Any, x: Any) -> tuple[Any, Any]:
        # Position 0 holds a zero, for the units that a task does not have.
        inside = (units < size) & (i < depths)[:, None]
        places = bias_first[:, None] + i * size + units
        b = tf.gather(biases, tf.where(inside, places, 0))
        row = (i * size + units) * size
        places = kernel_first[:, None, None] + row[:, :, None] + units
        both = inside[:, :, None] & inside[:, None, :]
        k = tf.gather(kernels, tf.where(both, places, 0))
        y = activate_rows(tf.matmul(x, k) + b[:, None, :], codes)
        y = tf.where((i < depths)[:, None, None], y, x)
        # The call of `activate_rows` loses the static rank.
        return i + 1, tf.ensure_shape(y, shape)

    _, x = tf.while_loop(
        lambda i, x: i < tf.reduce_max(depths),
        layer,
        [0, x],
        shape_invariants=[tf.TensorShape([]), shape],
    )
    return x
