"""Group a batch's rows by task, so that rows of one task share its kernels."""

import dataclasses
from typing import Any

import tensorflow as tf

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
