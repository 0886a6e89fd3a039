"""A base's adapters and LayerNorms computed from tensors that are arguments."""

from typing import Any

import tensorflow as tf

from adapters_tf.export.activations import activate, activate_rows

# Suffixes of an adapter's variables, as in the adapter file.
DOWN = "down_projection"
UP = "up_projection"
NORM = ("gamma", "beta")


class OneTask:
    """One task's tensors, by variable path, for all rows (a `TaskFunctions`).

    An adapter that is not there has a bottleneck of 0 units and an up bias of
    zeros; a LayerNorm that the task did not train has a gamma and beta of size
    0, and the base's are used.

    Args:
        tensors: See `BaseFunctions.adapter_specs`.
        layer_norms: Path -> the base's own gamma and beta.
    """

    def __init__(
        self, tensors: dict[str, Any], layer_norms: dict[str, list[Any]]
    ) -> None:
        self._tensors = tensors
        self._layer_norms = layer_norms

    def adapter(self, path: str, inputs: Any) -> Any:
        t = self._tensors
        hidden = tf.matmul(inputs, t[f"{path}/{DOWN}/kernel"])
        hidden = activate(hidden + t[f"{path}/{DOWN}/bias"], t["activation"])
        outputs = tf.matmul(hidden, t[f"{path}/{UP}/kernel"])
        outputs = inputs + (outputs + t[f"{path}/{UP}/bias"])
        return tf.ensure_shape(outputs, inputs.shape)

    def scale_and_shift(self, path: str, normalized: Any) -> Any:
        size = normalized.shape[-1]
        gamma, beta = (
            # The task's, or where that is empty the base's, without a branch.
            tf.concat([self._tensors[f"{path}/{name}"], own], axis=0)[:size]
            for name, own in zip(NORM, self._layer_norms[path], strict=True)
        )
        return normalized * gamma + beta


class TaskOfEachRow:
    """A bank of tasks and a task for each row (a `TaskFunctions`).

    Args:
        bank: See `adapters_tf.export.bank`.
        tasks: `[batch]` int32 indices of tasks.
        layer_norms: Path -> the base's own gamma and beta.
    """

    def __init__(
        self, bank: dict[str, Any], tasks: Any, layer_norms: dict[str, list[Any]]
    ) -> None:
        self._bank = bank
        self._tasks = tasks
        self._layer_norms = layer_norms
        self._codes = tf.gather(bank["activation"], tasks)
        self._own_norms = tf.gather(bank["layer_norm"], tasks)

    def adapter(self, path: str, inputs: Any) -> Any:
        bank, tasks = self._bank, self._tasks
        sizes = tf.gather(bank[f"{path}/size"], tasks)
        # At least 0: a batch may have no rows, and then there is no largest.
        units = tf.range(tf.maximum(tf.reduce_max(sizes), 0))
        inside = units[None, :] < sizes[:, None]
        first = tf.gather(bank[f"{path}/offset"], tasks)
        # Unit 0 is all zeros: it fills up the bottlenecks smaller than this
        # batch's largest.
        rows = tf.where(inside, first[:, None] + units[None, :], 0)
        down = tf.gather(bank[f"{path}/{DOWN}/kernel"], rows)
        bias = tf.gather(bank[f"{path}/{DOWN}/bias"], rows)
        up = tf.gather(bank[f"{path}/{UP}/kernel"], rows)
        up_bias = tf.gather(bank[f"{path}/{UP}/bias"], tasks)
        hidden = tf.matmul(inputs, down, transpose_b=True) + bias[:, None, :]
        outputs = tf.matmul(activate_rows(hidden, self._codes), up)
        outputs = inputs + (outputs + up_bias[:, None, :])
        return tf.ensure_shape(outputs, inputs.shape)

    def scale_and_shift(self, path: str, normalized: Any) -> Any:
        index = self._own_norms
        gamma, beta = (
            tf.where(
                (index > 0)[:, None],
                tf.gather(self._bank[f"{path}/{name}"], index),
                own[None, :],
            )
            for name, own in zip(NORM, self._layer_norms[path], strict=True)
        )
        return normalized * gamma[:, None, :] + beta[:, None, :]
