"""Compute a base's adapters and LayerNorms from tensors passed as arguments.

Rows of one task are grouped, so that they share its kernels.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from adapters_tf.adapters.base import AtSite, Site, TaskForm

# Cost of computing single rows separately from groups, in kernels fetched. Measured on
# a CPU for d = 384, m = 64 and rows of 27 tokens.
_COST_OF_SINGLES = 8


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """Equal-sized groups of rows of one task each, then single rows.

    Attributes:
        order: `[batch]` int32, the row at each position.
        group_size: Scalar int32, 1 or more.
        num_grouped: Scalar int32, the number of rows in groups, which come first; a
            multiple of `group_size`.
    """

    order: Any
    group_size: Any
    num_grouped: Any

    def sort(self, rows: Any) -> Any:
        """Put rows `[batch, ...]` in this order."""
        return tf.gather(rows, self.order)

    def restore(self, rows: Any) -> Any:
        """Undo `sort`."""
        return tf.gather(rows, tf.math.invert_permutation(self.order))


def group_rows(tasks: Any) -> RowGroups:
    """Group a batch to fetch few kernels: one for each group or single row.

    Groups are never padded: a task's rows beyond full groups stay single. The order
    depends on which rows have equal tasks, not on the tasks' numbers.

    Args:
        tasks: `[batch]` int32; can be empty.
    """
    _, task, counts = tf.unique_with_counts(tasks)
    # Use at least 1, because without rows there is no largest count.
    sizes = tf.range(1, tf.maximum(tf.reduce_max(counts), 1) + 1)
    groups = counts // sizes[:, None]
    singles = tf.reduce_sum(counts - groups * sizes[:, None], axis=1)
    costs = tf.reduce_sum(groups, axis=1) + singles
    costs += tf.where(singles > 0, _COST_OF_SINGLES, 0)
    # Take the smallest of equally good sizes; with 1, every row is single.
    group_size = sizes[tf.argmin(costs, output_type=tf.int32)]
    grouped = counts // group_size * group_size
    order = tf.argsort(task, stable=True)
    task = tf.gather(task, order)
    number = tf.range(tf.size(task)) - tf.gather(
        tf.cumsum(counts, exclusive=True), task
    )
    is_single = number >= tf.gather(grouped, task)
    order = tf.gather(order, tf.argsort(tf.cast(is_single, tf.int32), stable=True))
    return RowGroups(order, group_size, tf.reduce_sum(grouped))


# Suffixes of a LayerNorm's variables, as in the adapter file.
NORM = ("gamma", "beta")


class _Adapters:
    """The part of `TaskFunctions` that the forms of tasks compute."""

    def __init__(self, forms: Sequence[TaskForm], functions: Sequence[AtSite]) -> None:
        self._functions = list(zip(forms, functions, strict=True))

    def adapt(self, block: str, site: Site) -> Any:
        outputs = site.outputs
        for form, compute in self._functions:
            if site.name in form.sites:
                path = f"{block}/{site.name}_{form.suffix}"
                outputs = compute(path, dataclasses.replace(site, outputs=outputs))
        return outputs


class OneTask(_Adapters):
    """One task's tensors for all rows (a `TaskFunctions`).

    If the task did not train a LayerNorm, its gamma and beta have size 0, and the
    base's are used.

    Args:
        tensors: See `BaseFunctions.adapter_specs`.
        forms: The forms in which they hold the task.
        layer_norms: Path -> the base's own gamma and beta.
    """

    def __init__(
        self,
        tensors: dict[str, Any],
        forms: Sequence[TaskForm],
        layer_norms: dict[str, list[Any]],
    ) -> None:
        super().__init__(forms, [form.for_one_task(tensors) for form in forms])
        self._tensors = tensors
        self._layer_norms = layer_norms

    def scale_and_shift(self, path: str, normalized: Any) -> Any:
        size = normalized.shape[-1]
        gamma, beta = (
            # Take the task's values, or the base's if those are empty, without a
            # branch.
            tf.concat([self._tensors[f"{path}/{name}"], own], axis=0)[:size]
            for name, own in zip(NORM, self._layer_norms[path], strict=True)
        )
        return normalized * gamma + beta


class _RowsInGroups:
    """The rows of a batch in the order of their groups (a `Rows`)."""

    def __init__(self, tasks: Any, groups: RowGroups) -> None:
        self.tasks = groups.sort(tasks)
        self._group_size = groups.group_size
        self._num_grouped = groups.num_grouped
        self._group_tasks = self.tasks[: groups.num_grouped : groups.group_size]
        self._single_tasks = self.tasks[groups.num_grouped :]
        self._no_singles = tf.equal(groups.num_grouped, tf.size(self.tasks))

    def apply(self, function: Callable[[Any, Any], Any], inputs: Any) -> Any:
        def groups(rows: Any) -> Any:
            # Concatenate a group's rows to one long row of its task.
            length = self._group_size * tf.shape(rows)[1]
            joined = [tf.size(self._group_tasks), length, rows.shape[2]]
            outputs = function(tf.reshape(rows, joined), self._group_tasks)
            return tf.reshape(outputs, tf.shape(rows))

        def groups_and_singles() -> Any:
            grouped, singles = (
                inputs[: self._num_grouped],
                inputs[self._num_grouped :],
            )
            singles = function(singles, self._single_tasks)
            return tf.concat([groups(grouped), singles], axis=0)

        # Without single rows, skip the concatenation, which would copy.
        outputs = tf.cond(self._no_singles, lambda: groups(inputs), groups_and_singles)
        return tf.ensure_shape(outputs, inputs.shape)


class TaskOfEachRow(_Adapters):
    """A bank of tasks with one task for each row (a `TaskFunctions`), for inference.

    Args:
        bank: See `adapters_tf.export.bank`.
        forms: The forms in which the bank holds its tasks.
        tasks: `[batch]` int32 indices of tasks.
        groups: `group_rows(tasks)`. Rows must be in this order.
        layer_norms: Path -> the base's own gamma and beta.
    """

    def __init__(
        self,
        bank: dict[str, Any],
        forms: Sequence[TaskForm],
        tasks: Any,
        groups: RowGroups,
        layer_norms: dict[str, list[Any]],
    ) -> None:
        rows = _RowsInGroups(tasks, groups)
        super().__init__(forms, [form.for_rows(bank, rows) for form in forms])
        self._bank = bank
        self._layer_norms = layer_norms
        self._tasks = rows.tasks

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
