"""Check texts and labels from the user and convert labels to numbers."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from adapters_tf.errors import DataError

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


def check_texts(x: Any) -> None:
    """Reject columns of texts with missing or invalid rows.

    Args:
        x: A column or a tuple of columns; tensors are not checked.

    Raises:
        DataError: if there are no rows, the columns differ in length, or a row is
            missing, empty or of another type; names the row.
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
            continue
        values = column.tolist() if isinstance(column, np.ndarray) else column
        for row, text in enumerate(values):
            if isinstance(text, str | bytes) and text.strip():
                continue
            where = f" of column {number}" if len(columns) > 1 else ""
            came = (
                "an empty text"
                if isinstance(text, str | bytes)
                else f"{text!r}, a {type(text).__name__}"
            )
            raise DataError(
                f"Every text must be a string that is not empty. Received: row {row}"
                f"{where} with {came}"
            )


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
        y = keras.ops.convert_to_numpy(y) if "string" not in str(y.dtype) else y.numpy()
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
    values = _array(y)
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
    numbers = _numbers(values)
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
            if isinstance(names, str | bytes):
                raise DataError(
                    "Several labels of a row are a list of names. Received: row "
                    f"{row} with {names!r}"
                )
            for name in names:
                sets[row, _index(name, index, f"row {row}")] = 1
        return sets
    values = _array(y)
    if values.shape != (len(y), num_classes):
        raise DataError(
            f"Labels must be a row of {num_classes} zeros and ones for each text. "
            f"Received: labels of shape {values.shape}"
        )
    numbers = _numbers(values)
    wrong = ((numbers < 0) | (numbers > 1)).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            "Labels must be numbers from 0 to 1. Received: row "
            f"{row} with {values[row].tolist()}"
        )
    return numbers.astype(np.float32)


def read_scores(y: Any) -> np.ndarray:
    """Return the score of each row.

    Args:
        y: `[n]` or `[n, 1]` numbers.

    Returns:
        `[n]` float32.

    Raises:
        DataError: if a row has no finite number.
    """
    values = _array(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind in "US":
        raise DataError(
            "Labels must be one number for each row. Received: labels of shape "
            f"{values.shape} and type {values.dtype}"
        )
    return _numbers(values).astype(np.float32)


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
    return [
        [_index(tag, index, f"word {i} of the sentence at {row}") for i, tag in it]
        for row, it in ((row, enumerate(tags)) for row, tags in enumerate(y))
    ]


def _array(y: Any) -> np.ndarray:
    """Convert labels to an array; reject rows of different lengths."""
    try:
        return np.asarray(y)
    except ValueError:
        row = next(i for i, v in enumerate(y) if np.shape(v) != np.shape(y[0]))
        raise DataError(
            "Labels must have the same form in each row. Received: row 0 with "
            f"{y[0]!r}, row {row} with {y[row]!r}"
        ) from None


def _numbers(values: np.ndarray) -> np.ndarray:
    """Convert values to float64; all must be finite."""
    for row, value in enumerate(values.tolist() if values.dtype.kind == "O" else ()):
        if not isinstance(value, int | float | np.number):
            raise DataError(
                f"Labels must be numbers. Received: row {row} with {value!r}"
            )
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise DataError(
            f"Labels must be finite numbers. Received: row {row} with "
            f"{values[row].tolist()}"
        )
    return numbers


def _index(value: Any, index: dict[str, int], where: str) -> int:
    if not isinstance(value, str | bytes):
        raise DataError(
            "Labels are numbers or strings, not both. Received: "
            f"{where} with {value!r}, a {type(value).__name__}"
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
