"""An order of a batch's rows in which rows of one task share its kernels."""

import dataclasses
from typing import Any

import tensorflow as tf

# Computing groups and single rows apart takes as long as fetching this many
# kernels more: measured on a CPU for d = 384, m = 64 and rows of 27 tokens.
_COST_OF_SINGLES = 8


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """Groups of rows of one task each, all of one size, then rows on their own.

    Attributes:
        order: `[batch]` int32, the row at each place.
        group_size: Scalar int32, 1 or more.
        num_grouped: Scalar int32, how many rows at the start are in groups; a
            multiple of `group_size`.
    """

    order: Any
    group_size: Any
    num_grouped: Any

    def sort(self, rows: Any) -> Any:
        """Rows `[batch, ...]` in this order."""
        return tf.gather(rows, self.order)

    def restore(self, rows: Any) -> Any:
        """What `sort` was given."""
        return tf.gather(rows, tf.math.invert_permutation(self.order))


def group_rows(tasks: Any) -> RowGroups:
    """Group a batch so that few kernels are fetched, one for each group or row.

    No row is ever added: a task's rows beyond full groups are on their own. The
    order follows from which rows have equal tasks, not from the tasks' numbers.

    Args:
        tasks: `[batch]` int32; there may be no rows.
    """
    _, task, counts = tf.unique_with_counts(tasks)
    # Not below 1: without rows there is no largest.
    sizes = tf.range(1, tf.maximum(tf.reduce_max(counts), 1) + 1)
    groups = counts // sizes[:, None]
    singles = tf.reduce_sum(counts - groups * sizes[:, None], axis=1)
    costs = tf.reduce_sum(groups, axis=1) + singles
    costs += tf.where(singles > 0, _COST_OF_SINGLES, 0)
    # The smallest of equally good sizes; 1 leaves every row on its own.
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
