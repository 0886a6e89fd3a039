"""Rows in memory, as `fit` takes them: split and shuffled."""

from typing import Any

import numpy as np
import tensorflow as tf


def in_memory(x: Any) -> bool:
    """Whether this is rows in memory, not a dataset or `None`."""
    return isinstance(x, list | tuple | dict | np.ndarray | tf.Tensor)


def _map(rows: Any, function: Any) -> Any:
    """Apply to each column; a list is one column, as in `tf.data`."""
    if isinstance(rows, tuple):
        return tuple(_map(column, function) for column in rows)
    if isinstance(rows, dict):
        return {name: _map(column, function) for name, column in rows.items()}
    return None if rows is None else function(rows)


def _columns(rows: Any) -> Any:
    plain = (list, np.ndarray, tf.Tensor)
    return _map(rows, lambda c: c if isinstance(c, plain) else np.asarray(c))


def split_rows(rows: tuple[Any, ...], fraction: float) -> tuple[Any, Any]:
    """The first rows and the last `fraction` of them, as Keras splits.

    Args:
        rows: `(x, y, sample_weight)` of columns in memory.
        fraction: Between 0 and 1.

    Raises:
        ValueError: if a part would be empty.
    """
    rows = _columns(rows)
    total = len(tf.nest.flatten(_map(rows, lambda c: np.zeros(len(c))))[0])
    first = int(total * (1 - fraction))
    if not 0 < first < total:
        raise ValueError(
            f"validation_split must leave rows in both parts of the {total}. "
            f"Received: validation_split={fraction}"
        )
    return _map(rows, lambda c: c[:first]), _map(rows, lambda c: c[first:])


def shuffled_dataset(
    rows: tuple[Any, ...], batch_size: int | None, seed: int
) -> tf.data.Dataset:
    """Batches of the rows in another order in each epoch.

    keras-hub batches rows before it shuffles, which it then cannot do; it
    trains on them in the order of the file, with a warning.

    Args:
        rows: `(x, y, sample_weight)` of columns in memory, `None` where absent.
        batch_size: Rows of a batch; 32 by default.
        seed: Seed of the order.
    """
    columns = _columns(rows)
    while columns[-1] is None:
        columns = columns[:-1]
    total = len(tf.nest.flatten(_map(columns, lambda c: np.zeros(len(c))))[0])
    data = tf.data.Dataset.from_tensor_slices(columns)
    return data.shuffle(total, seed=seed).batch(batch_size or 32)
