"""Training on a part of a task's rows."""

import dataclasses

import numpy as np

from adapters_tf.data.examples import TaskData
from adapters_tf.errors import UserError


def limit_train_rows(data: TaskData, max_rows: int | None, seed: int) -> TaskData:
    """The same task with at most this many training rows, drawn at random.

    Args:
        data: The task.
        max_rows: Number of rows to keep, in their order; `None` for all.
        seed: Seed of the draw.

    Raises:
        UserError: if `max_rows` is below 1.
    """
    if max_rows is None or max_rows >= len(data.train):
        return data
    if max_rows < 1:
        raise UserError(
            "max_train_examples must be 1 or more. Received: "
            f"max_train_examples={max_rows}"
        )
    rows = np.random.default_rng(seed).permutation(len(data.train))[:max_rows]
    return dataclasses.replace(data, train=data.train.take(np.sort(rows)))
