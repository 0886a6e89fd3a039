"""A base's adapters and LayerNorms computed from tensors that are arguments."""

from typing import Any

import tensorflow as tf

from adapters_tf.export.activations import activate, activate_rows
from adapters_tf.export.row_groups import RowGroups

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
    """A bank of tasks and a task for each row (a `TaskFunctions`), for inference.

    Args:
        bank: See `adapters_tf.export.bank`.
        tasks: `[batch]` int32 indices of tasks.
        groups: `group_rows(tasks)`. The functions take rows in its order.
        layer_norms: Path -> the base's own gamma and beta.
    """

    def __init__(
        self,
        bank: dict[str, Any],
        tasks: Any,
        groups: RowGroups,
        layer_norms: dict[str, list[Any]],
    ) -> None:
        tasks = groups.sort(tasks)
        self._bank = bank
        self._layer_norms = layer_norms
        self._tasks = tasks
        self._group_size = groups.group_size
        self._num_grouped = groups.num_grouped
        self._group_tasks = tasks[: groups.num_grouped : groups.group_size]
        self._single_tasks = tasks[groups.num_grouped :]
        self._no_singles = tf.equal(groups.num_grouped, tf.size(tasks))
        codes = tf.gather(bank["activation"], tasks)
        self._code = tf.reduce_max(codes)
        self._same_activation = tf.reduce_all(tf.equal(codes, self._code))

    def adapter(self, path: str, inputs: Any) -> Any:
        def groups(rows: Any) -> Any:
            # A group's rows, end to end, are one row of its task.
            length = self._group_size * tf.shape(rows)[1]
            joined = [tf.size(self._group_tasks), length, rows.shape[2]]
            outputs = self._adapter(path, tf.reshape(rows, joined), self._group_tasks)
            return tf.reshape(outputs, tf.shape(rows))

        def groups_and_singles() -> Any:
            grouped, singles = (
                inputs[: self._num_grouped],
                inputs[self._num_grouped :],
            )
            singles = self._adapter(path, singles, self._single_tasks)
            return tf.concat([groups(grouped), singles], axis=0)

        # Without single rows there is nothing to join, which would be a copy.
        outputs = tf.cond(self._no_singles, lambda: groups(inputs), groups_and_singles)
        return tf.ensure_shape(outputs, inputs.shape)

    def _adapter(self, path: str, inputs: Any, tasks: Any) -> Any:
        """`[n, length, d]` through the adapters of `[n]` tasks, with the residual."""
        bank = self._bank
        sizes = tf.gather(bank[f"{path}/size"], tasks)
        # At least 0: there may be no rows, and then there is no largest.
        units = tf.range(tf.maximum(tf.reduce_max(sizes), 0))
        first = tf.gather(bank[f"{path}/offset"], tasks)
        # Unit 0 is all zeros: it fills up the bottlenecks smaller than the
        # largest of these.
        rows = tf.where(units < sizes[:, None], first[:, None] + units, 0)
        down = tf.gather(bank[f"{path}/{DOWN}/kernel"], rows)
        bias = tf.gather(bank[f"{path}/{DOWN}/bias"], rows)
        up = tf.gather(bank[f"{path}/{UP}/kernel"], rows)
        up_bias = tf.gather(bank[f"{path}/{UP}/bias"], tasks)
        hidden = tf.matmul(inputs, down, transpose_b=True) + bias[:, None, :]
        outputs = tf.matmul(self._activate(hidden, tasks), up)
        return inputs + (outputs + up_bias[:, None, :])

    def _activate(self, hidden: Any, tasks: Any) -> Any:
        return tf.cond(
            self._same_activation,
            lambda: activate(hidden, self._code),
            lambda: activate_rows(hidden, tf.gather(self._bank["activation"], tasks)),
        )

    def scale_and_shift(self, path: str, normalized: Any) -> Any:
        index = tf.gather(self._bank[f"{path}/row"], self._tasks)
        gamma, beta = (
            tf.where(
                (index > 0)[:, None],
                tf.gather(self._bank[f"{path}/{name}"], index),
                own[None, :],
            )
            for name, own in zip(NORM, self._layer_norms[path], strict=True)
        )
        return normalized * gamma[:, None, :] + beta[:, None, :]
