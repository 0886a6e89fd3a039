"""Read and split in-memory rows for `fit`."""

import collections.abc
import numbers
from typing import Any

import keras
import numpy as np

from adapters_tf.errors import DataError

# The key of rows that `tokenized` of a task model made of texts.
TOKENIZED = "tokenized"


def in_memory(x: Any) -> bool:
    """Whether `x` holds rows in memory, rather than being a dataset or `None`."""
    return isinstance(x, list | tuple | dict) or _is_column(x) or _is_foreign(x)


def _is_column(x: Any) -> bool:
    if isinstance(x, list):
        return True
    # Ragged tensors have no len; they are not split or shuffled here.
    column = isinstance(x, np.ndarray) or (
        keras.ops.is_tensor(x) and hasattr(x, "__len__")
    )
    return column and len(x.shape) > 0


def _is_foreign(x: Any) -> bool:
    """Whether `x` is a column or table of a library such as pandas or polars."""
    return (
        hasattr(x, "to_numpy")
        or hasattr(x, "to_pylist")
        or isinstance(x, range | collections.abc.Mapping)
    )


def read_columns(x: Any) -> tuple[Any, tuple[str, ...] | None]:
    """Convert the columns of any supported library to lists, arrays and tensors.

    Args:
        x: A column (list, array, tensor, or a column of pandas, polars or PyArrow), a
            tuple of columns, a table of these libraries, or a dictionary of columns.

    Returns:
        The columns and their names, or `None` if they have no names. A table or a
        dictionary of texts becomes a tuple of columns, or the column itself if there is
        one. A dictionary of the model's inputs stays a dictionary.

    Raises:
        DataError: if the type of a column is not supported.
    """
    names = getattr(x, "column_names", None)  # PyArrow
    if names is None and hasattr(x, "to_numpy"):
        names = getattr(x, "columns", None)  # pandas and polars
    if names is None and isinstance(x, collections.abc.Mapping):
        if "token_ids" in x:
            return {name: _column(column) for name, column in x.items()}, None
        names = list(x)
    if names is not None:
        if not len(names):
            raise DataError("A table of rows needs a column. Received: one without any")
        columns = tuple(_column(x[name]) for name in names)
        texts = columns if len(columns) > 1 else columns[0]
        return texts, tuple(str(name) for name in names)
    if isinstance(x, tuple):
        return tuple(_column(column) for column in x), None
    return _column(x), None


def _column(column: Any) -> Any:
    """Convert strings to a list and numbers to an array; keep tensors."""
    if _is_column(column) and not isinstance(column, np.ndarray):
        return column
    if hasattr(column, "to_pylist"):
        return column.to_pylist()
    if hasattr(column, "to_numpy"):
        column = column.to_numpy()
    elif not isinstance(column, np.ndarray):
        if isinstance(column, str | bytes):
            return column  # A later check of texts or questions reports the error.
        if not isinstance(column, collections.abc.Sequence):
            raise DataError(
                "Rows in memory are lists, arrays, tensors or columns of pandas, "
                f"polars or PyArrow. Received: a {type(column).__name__}"
            )
        return list(column)
    return column.tolist() if column.dtype.kind == "O" else column


def map_columns(rows: Any, function: Any) -> Any:
    """Apply a function to each column; a list is one column, as in `tf.data`.

    Args:
        rows: Tuples and dictionaries of columns, `None` where absent.
        function: Takes a column.
    """
    if isinstance(rows, tuple):
        return tuple(map_columns(column, function) for column in rows)
    if isinstance(rows, dict):
        return {name: map_columns(column, function) for name, column in rows.items()}
    return None if rows is None else function(rows)


def num_rows(rows: Any) -> int:
    """Return the number of rows: the length of the first column.

    Args:
        rows: As for `map_columns`.
    """
    return keras.tree.flatten(map_columns(rows, lambda c: np.zeros(len(c))))[0].size


def plain_columns(rows: tuple[Any, ...]) -> tuple[Any, ...]:
    """Drop absent columns at the end.

    Args:
        rows: `(x, y, sample_weight)` of columns in memory, `None` where absent.
    """
    while rows[-1] is None:
        rows = rows[:-1]
    return rows


def split_rows(rows: tuple[Any, ...], fraction: float) -> tuple[Any, Any]:
    """Split off the last `fraction` of the rows, as Keras does.

    Args:
        rows: `(x, y, sample_weight)` of columns in memory.
        fraction: Between 0 and 1.

    Raises:
        ValueError: if a part would be empty.
    """
    total = num_rows(rows)
    number = isinstance(fraction, numbers.Real)
    first = int(total * (1 - fraction)) if number and 0 < fraction < 1 else 0
    if not 0 < first < total:
        raise ValueError(
            "validation_split must be between 0 and 1 and leave rows in both parts of "
            f"the {total}. Received: validation_split={fraction!r}"
        )
    parts = (slice(first), slice(first, None))
    head, tail = (map_columns(rows, lambda c, p=p: c[p]) for p in parts)
    return head, tail


def example_weights(weight: Any, rows: Any) -> Any:
    """Convert `[rows]` or `[rows, 1]` weights, or `None`, to `[rows]` float32."""
    if weight is None:
        return keras.ops.ones((rows,), "float32")
    return keras.ops.reshape(keras.ops.cast(weight, "float32"), (rows,))


def check_batch_size(batch_size: Any) -> None:
    """Reject what is no number of rows.

    Args:
        batch_size: The argument of `fit`, `evaluate` or `predict`; `None` for Keras's.

    Raises:
        ValueError: if it is not a whole number of 1 or more.
    """
    whole = isinstance(batch_size, numbers.Integral)
    if batch_size is not None and (not whole or batch_size < 1):
        raise ValueError(
            "batch_size must be a whole number of 1 or more. Received: "
            f"batch_size={batch_size!r}"
        )


def check_dataset(x: Any, labelled: bool = True) -> None:
    """Reject input that is neither rows in memory nor a dataset of batches.

    Args:
        x: The data passed to `fit`, `evaluate` or `predict`.
        labelled: Whether its rows need labels.

    Raises:
        DataError: if the type is another, or it is a `tf.data.Dataset` of single rows,
            of texts in a dictionary, or without numbers as labels where they are
            needed.
    """
    spec = getattr(x, "element_spec", None)
    if spec is not None:
        if labelled:
            _check_dataset_labels(spec)
        inputs = spec[0] if isinstance(spec, tuple) and len(spec) > 1 else spec
        for leaf in keras.tree.flatten(inputs):
            shape = getattr(leaf, "shape", None)
            least = 1 if getattr(leaf, "dtype", None) == "string" else 2
            if shape is not None and shape.rank is not None and shape.rank < least:
                raise DataError(
                    "A dataset must hold batches of rows. Received: one whose elements "
                    "are single rows; call its method batch, as in dataset.batch(32)"
                )
        if isinstance(inputs, dict) and "token_ids" not in inputs:
            raise DataError(
                "A dataset holds texts as a string tensor, pairs as a tuple of two, or "
                "the model's inputs as a dictionary with token_ids. Received: a "
                f"dictionary of {', '.join(map(str, inputs))}"
            )
        return
    # keras-hub handles ragged tensors and Grain datasets itself.
    if keras.ops.is_tensor(x) or type(x).__module__.partition(".")[0] == "grain":
        return
    advice = "tf.data.Dataset.from_generator makes a dataset of a generator"
    if isinstance(x, str | bytes):
        advice = "One text is a list of one"
    elif isinstance(x, collections.abc.Collection):
        advice = "list(x) has its rows in memory"
    raise DataError(
        "x must be rows in memory, or a tf.data.Dataset of batches. Received: "
        f"{'none' if x is None else f'a {type(x).__name__}'}. {advice}"
    )


def _check_dataset_labels(spec: Any) -> None:
    labels = spec[1] if isinstance(spec, tuple) and len(spec) > 1 else None
    if labels is None:
        raise DataError(
            "A dataset to train or evaluate on holds pairs (x, y) of rows and labels. "
            "Received: one without labels"
        )
    if any(
        getattr(leaf, "dtype", None) == "string" for leaf in keras.tree.flatten(labels)
    ):
        raise DataError(
            "The labels in a dataset are numbers, such as class indices. Received: "
            "strings. Give names with rows in memory, or map them to indices"
        )
