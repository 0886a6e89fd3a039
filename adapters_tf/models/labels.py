"""Check texts and labels from the user and convert labels to numbers."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from adapters_tf.errors import DataError
from adapters_tf.models.row_numbers import finite_numbers, to_array

_SHOWN = 10
_MISSING = {"nan", "<na>"}


def is_missing(name: str) -> bool:
    """Whether a label is what pandas and NumPy write for a missing value."""
    return name.lower() in _MISSING


def natural_order(names: Collection[str]) -> tuple[str, ...]:
    """Sort names: integers by value, other names by text with numbers by value.

    Args:
        names: The names.
    """
    if all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names, key=lambda name: (_natural_key(name), name)))


def _natural_key(name: str) -> list[Any]:
    # Text and numbers alternate, so equal positions have equal types.
    parts = re.split(r"(\d+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


_EMPTY = "an empty text"


def check_texts(x: Any, may_be_empty: bool = False) -> None:
    """Reject columns of texts with missing or invalid rows.

    Args:
        x: A column or a tuple of columns.
        may_be_empty: Take empty texts, as servables do.

    Raises:
        DataError: if there are no rows, the columns differ in length, or a row is
            missing, empty, of another type or not valid Unicode; names the row.
    """
    columns = x if isinstance(x, tuple) else (x,)
    if any(isinstance(column, str | bytes) for column in columns):
        raise DataError(
            "Texts are given in columns: a list of texts, or a tuple of two lists for "
            f"pairs. Received: {x!r}; one text is a list of one"
        )
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or lengths == {0}:
        raise DataError(
            "Columns of texts must have as many rows as each other, and one at least. "
            f"Received: {', '.join(str(len(column)) for column in columns) or 'none'}"
        )
    for number, column in enumerate(columns):
        if keras.ops.is_tensor(column):
            column = _values(column)
        values = column.tolist() if isinstance(column, np.ndarray) else column
        for row, text in enumerate(values):
            wrong = _wrong_text(text)
            if wrong and not (may_be_empty and wrong == _EMPTY):
                where = f" of column {number}" if len(columns) > 1 else ""
                rule = "" if may_be_empty else " that is not empty"
                raise DataError(
                    f"Every text must be a string{rule}. Received: row {row}{where} "
                    f"with {wrong}"
                )


def _wrong_text(text: Any) -> str | None:
    """Say what is wrong with a text; `None` if nothing is."""
    if isinstance(text, str):
        try:
            text.encode()
        except UnicodeEncodeError:  # TensorFlow's strings are UTF-8.
            return "one half of a surrogate pair, which is no valid Unicode"
    if isinstance(text, str | bytes):
        return None if text.strip() else _EMPTY
    came = f"{text!r}, a {type(text).__name__}"
    if isinstance(text, list | tuple):
        came += "; pairs of texts are a tuple of two columns"
    return came


def _values(tensor: Any) -> np.ndarray:
    """Return a tensor's numbers or strings."""
    if "string" in str(tensor.dtype):
        return tensor.numpy()
    return keras.ops.convert_to_numpy(tensor)


def check_length(name: str, values: Any, rows: int) -> None:
    """Check that a column has one value for each row.

    Args:
        name: Name of the column, for messages.
        values: The column.
        rows: Number of rows.

    Raises:
        DataError: if the numbers differ.
    """
    if len(values) != rows:
        raise DataError(
            f"There must be one {name} for each row. Received: {len(values)} for "
            f"{rows} rows"
        )


def names_in(y: Any) -> tuple[str, ...] | None:
    """Return the distinct names in natural order; `None` if labels are numbers.

    Args:
        y: Labels: numbers or strings, or lists of them.
    """
    if keras.ops.is_tensor(y):
        y = _values(y)
    flat = list(_flat(y))
    if not any(isinstance(value, str | bytes) for value in flat):
        return None
    return natural_order({_text(v) for v in flat if isinstance(v, str | bytes)})


def _flat(y: Any) -> Iterable[Any]:
    if isinstance(y, np.ndarray):
        y = y.ravel().tolist()
    for value in y:
        if isinstance(value, list | tuple | set | frozenset | np.ndarray):
            yield from _flat(value)
        else:
            yield value


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def read_classes(y: Any, labels: Sequence[str], num_classes: int) -> np.ndarray:
    """Return the class of each row, from indices or names.

    Args:
        y: `[n]` or `[n, 1]` class indices (integers, or floats without a fraction), or
            `[n]` names.
        labels: The names in the order of their indices; empty if unknown.
        num_classes: Number of classes.

    Returns:
        `[n]` int32.

    Raises:
        DataError: if a row has no class or an unknown one.
    """
    values = to_array(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            "Labels must be one class for each row, a number or a name. Received: "
            f"labels of shape {values.shape}. Of one-hot rows take "
            "labels.argmax(axis=1), or compile with "
            "loss=keras.losses.CategoricalCrossentropy(from_logits=True)"
        )
    if values.dtype.kind in "OUS" and names_in(values) is not None:
        index = {name: i for i, name in enumerate(labels)}
        return np.array(
            [_index(value, index, f"row {i}") for i, value in enumerate(values)],
            np.int32,
        )
    numbers = finite_numbers(values)
    wrong = (numbers != np.floor(numbers)) | (numbers < 0) | (numbers >= num_classes)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"Labels must be class indices from 0 to {num_classes - 1}. Received: row "
            f"{row} with {values[row]}"
        )
    return numbers.astype(np.int32)


def read_label_sets(y: Any, labels: Sequence[str], num_classes: int) -> np.ndarray:
    """Return the labels of each row, from zeros and ones or lists of names.

    Args:
        y: `[n, num_classes]` numbers from 0 to 1, or a list of names for each row.
        labels: The names in the order of their indices; empty if unknown.
        num_classes: Number of labels.

    Returns:
        `[n, num_classes]` float32.

    Raises:
        DataError: if a row has neither form.
    """
    if names_in(y) is not None:
        index = {name: i for i, name in enumerate(labels)}
        sets = np.zeros((len(y), num_classes), np.float32)
        for row, names in enumerate(y):
            if not isinstance(names, list | tuple | set | frozenset | np.ndarray):
                raise DataError(
                    "Several labels of a row are a list of names. Received: row "
                    f"{row} with {names!r}"
                )
            for name in names:
                sets[row, _index(name, index, f"row {row}")] = 1
        return sets
    values = to_array(y)
    if values.shape != (len(y), num_classes):
        raise DataError(
            f"Labels must be a row of {num_classes} zeros and ones for each text. "
            f"Received: labels of shape {values.shape}"
        )
    numbers = finite_numbers(values)
    wrong = ((numbers < 0) | (numbers > 1)).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            "Labels must be numbers from 0 to 1. Received: row "
            f"{row} with {values[row].tolist()}"
        )
    return numbers.astype(np.float32)


def read_tags(y: Any, labels: Sequence[str]) -> Any:
    """Convert each sentence's tags from names to classes.

    Args:
        y: For each sentence a list of numbers, or of names.
        labels: The names in the order of their indices; empty if unknown.

    Returns:
        For each sentence a list of numbers; numbers are returned unchanged.

    Raises:
        DataError: if a name is not among the labels.
    """
    if names_in(y) is None:
        return y
    index = {name: i for i, name in enumerate(labels)}
    read = []
    for row, tags in enumerate(y):
        if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
            raise DataError(
                "Tags are a list for each sentence. Received: the sentence at "
                f"{row} with {tags!r}"
            )
        where = f"the sentence at {row}"
        read.append(
            [_index(tag, index, f"word {i} of {where}") for i, tag in enumerate(tags)]
        )
    return read


def _index(value: Any, index: dict[str, int], where: str) -> int:
    if not isinstance(value, str | bytes):
        raise DataError(
            "Labels are numbers or strings, not both. Received: "
            f"{where} with {value!r}, a {type(value).__name__}"
        )
    if not value.strip():
        raise DataError(
            f"No name of a class is empty. Received: {where} with {_text(value)!r}"
        )
    found = index.get(_text(value))
    if found is not None:
        return found
    known = ", ".join(list(index)[:_SHOWN]) + (", ..." if len(index) > _SHOWN else "")
    rule = f"one of {known}"
    if not index:
        rule = (
            "class indices, as this model knows no names: give labels=[...] where it "
            "is made, or fit it on strings first"
        )
    raise DataError(f"Labels must be {rule}. Received: {where} with {_text(value)!r}")
