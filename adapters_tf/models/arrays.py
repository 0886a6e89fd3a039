"""Rows in memory, as `fit` takes them."""

from typing import Any

import keras
import numpy as np


def in_memory(x: Any) -> bool:
    """Whether this is rows in memory, not a dataset or `None`."""
    return isinstance(x, list | tuple | dict) or _is_column(x)


def _is_column(x: Any) -> bool:
    # Ragged tensors, which have no len, are not split or shuffled here.
    return isinstance(x, list | np.ndarray) or (
        keras.ops.is_tensor(x) and hasattr(x, "__len__")
    )


def map_columns(rows: Any, function: Any) -> Any:
    """Apply to each column; a list is one column, as in `tf.data`.

    Args:
        rows: Tuples and dictionaries of columns, `None` where absent.
        function: Takes a column.
    """
    if isinstance(rows, tuple):
        return tuple(map_columns(column, function) for column in rows)
    if isinstance(rows, dict):
        return {name: map_columns(column, function) for name, column in rows.items()}
    return None if rows is None else function(rows)


def _columns(rows: Any) -> Any:
    return map_columns(rows, lambda c: c if _is_column(c) else np.asarray(c))


def num_rows(rows: Any) -> int:
    """How many rows the columns have, which is that of the first.

    Args:
        rows: As for `map_columns`.
    """
    return keras.tree.flatten(map_columns(rows, lambda c: np.zeros(len(c))))[0].size


def plain_columns(rows: tuple[Any, ...]) -> tuple[Any, ...]:
    """The columns as lists, arrays and tensors, without absent ones at the end.

    Args:
        rows: `(x, y, sample_weight)` of columns in memory, `None` where absent.
    """
    columns = _columns(rows)
    while columns[-1] is None:
        columns = columns[:-1]
    return columns


def split_rows(rows: tuple[Any, ...], fraction: float) -> tuple[Any, Any]:
    """The first rows and the last `fraction` of them, as Keras splits.

    Args:
        rows: `(x, y, sample_weight)` of columns in memory.
        fraction: Between 0 and 1.

    Raises:
        ValueError: if a part would be empty.
    """
    rows = _columns(rows)
    total = num_rows(rows)
    first = int(total * (1 - fraction))
    if not 0 < first < total:
        raise ValueError(
            f"validation_split must leave rows in both parts of the {total}. "
            f"Received: validation_split={fraction}"
        )
    parts = (slice(first), slice(first, None))
    head, tail = (map_columns(rows, lambda c, p=p: c[p]) for p in parts)
    return head, tail


def example_weights(weight: Any, rows: Any) -> Any:
    """`[rows]` float32 weights of `[rows]` or `[rows, 1]` ones, or of `None`."""
    if weight is None:
        return keras.ops.ones((rows,), "float32")
    return keras.ops.reshape(keras.ops.cast(weight, "float32"), (rows,))
