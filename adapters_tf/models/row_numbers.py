"""Check numbers from the user: scores, weights, tags and positions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapters_tf.errors import DataError

_SHOWN = 10


def read_scores(y: Any) -> np.ndarray:
    """Return the score of each row.

    Args:
        y: `[n]` or `[n, 1]` numbers.

    Returns:
        `[n]` float32.

    Raises:
        DataError: if a row has no finite number, also in float32.
    """
    return _one_for_each_row(y, "Labels")


def read_weights(weights: Any) -> np.ndarray:
    """Return the weight of each row.

    Args:
        weights: `[n]` or `[n, 1]` numbers.

    Returns:
        `[n]` float32.

    Raises:
        DataError: if a row has no finite number of 0 or more.
    """
    numbers = _one_for_each_row(weights, "sample_weight")
    if (numbers < 0).any():
        row = int((numbers < 0).argmax())
        raise DataError(
            f"sample_weight must be 0 or more. Received: row {row} with {numbers[row]}"
        )
    return numbers


def _one_for_each_row(column: Any, name: str) -> np.ndarray:
    """Return the finite numbers of a column `[n]` or `[n, 1]` as `[n]` float32."""
    values = to_array(column)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind in "US":
        raise DataError(
            f"{name} must be one number for each row. Received: an array of shape "
            f"{values.shape} and type {values.dtype}"
        )
    return finite_float32(finite_numbers(values, name), name)


def read_class_weights(
    weights: Any, labels: Sequence[str], num_classes: int
) -> dict[int, float]:
    """Return the weight of each class by its index.

    Args:
        weights: The weight of every class, by index or by name.
        labels: The names in the order of their indices; empty if unknown.
        num_classes: Number of classes.

    Raises:
        DataError: if a class has no weight, one is unknown, or a weight is no finite
            number of 0 or more.
    """
    by_name = {name: i for i, name in enumerate(labels)}
    known = ", ".join([*labels][:_SHOWN]) or f"0 to {num_classes - 1}"
    given = dict(weights) if isinstance(weights, Mapping) else {}
    indices = {key: by_name.get(key, key) for key in given}
    wanted = list(range(num_classes))
    if sorted(indices.values(), key=str) != sorted(wanted, key=str):
        raise DataError(
            f"class_weight must be a dictionary with a weight for each class, {known}. "
            f"Received: class_weight={weights!r}"
        )
    for key, value in given.items():
        number = isinstance(value, int | float | np.number)
        if not number or not np.isfinite(value) or value < 0:
            raise DataError(
                "class_weight must hold finite numbers of 0 or more. Received: "
                f"{value!r} for the class {key!r}"
            )
    return {int(indices[key]): float(value) for key, value in given.items()}


def read_tag_indices(y: Any) -> list[np.ndarray]:
    """Return the classes of each sentence's words.

    Args:
        y: For each sentence a list of class indices.

    Returns:
        For each sentence `[words]` int32.

    Raises:
        DataError: if a sentence has no whole numbers; names it.
    """
    read = []
    for row, tags in enumerate(y):
        values, what = to_array(tags), f"Tags of the sentence at {row}"
        if values.dtype.kind in "US" or not values.ndim:
            raise DataError(f"{what} must be a list of numbers. Received: {tags!r}")
        numbers = finite_numbers(values, what)
        if (numbers != np.floor(numbers)).any():
            raise DataError(f"{what} must be whole numbers. Received: {tags!r}")
        read.append(numbers.astype(np.int32))
    return read


def read_spans(y: Any, rows: int, length: int) -> np.ndarray:
    """Return the positions of each window's answer.

    Args:
        y: `[n, 2]` positions of the first and the last token.
        rows: Number of windows.
        length: Number of positions of a window.

    Returns:
        `[n, 2]` int32.

    Raises:
        DataError: if a window has no two positions of its own.
    """
    values = to_array(y)
    if values.shape != (rows, 2) or values.dtype.kind in "US":
        raise DataError(
            "Labels of windows must be the positions of the answer's first and last "
            f"token, of shape ({rows}, 2). Received: {values.shape} of {values.dtype}"
        )
    numbers = finite_numbers(values)
    wrong = (numbers != np.floor(numbers)) | (numbers < 0) | (numbers >= length)
    if wrong.any():
        row = int(wrong.any(axis=1).argmax())
        raise DataError(
            f"Labels of windows must be positions from 0 to {length - 1}. Received: "
            f"row {row} with {values[row].tolist()}"
        )
    return numbers.astype(np.int32)


def to_array(y: Any) -> np.ndarray:
    """Convert labels to an array.

    Args:
        y: The labels.

    Raises:
        DataError: if rows have different lengths; names two.
    """
    try:
        return np.asarray(y)
    except ValueError:
        row = next(i for i, v in enumerate(y) if np.shape(v) != np.shape(y[0]))
        raise DataError(
            "Labels must have the same form in each row. Received: row 0 with "
            f"{y[0]!r}, row {row} with {y[row]!r}"
        ) from None


def finite_numbers(values: np.ndarray, what: str = "Labels") -> np.ndarray:
    """Convert values to float64.

    Args:
        values: `[n, ...]` numbers.
        what: What they are, for the message.

    Raises:
        DataError: if one is missing, not a number or not finite; names its row.
    """
    if values.dtype.kind not in "biufO":  # Dates would be counted from 1970.
        raise DataError(
            f"{what} must be numbers. Received: values of type {values.dtype}"
        )
    for row, value in enumerate(values.tolist() if values.dtype.kind == "O" else ()):
        if not isinstance(value, int | float | np.number):
            raise DataError(
                f"{what} must be numbers. Received: row {row} with {value!r}"
            )
    try:
        numbers = values.astype(np.float64)
    except OverflowError:  # Python's integers have no limit.
        numbers = np.vectorize(_float, otypes=[np.float64])(values)
    _check_finite(numbers, values, what)
    return numbers


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def finite_float32(numbers: np.ndarray, what: str = "Labels") -> np.ndarray:
    """Convert float64 to float32.

    Args:
        numbers: `[n, ...]` finite numbers.
        what: What they are, for the message.

    Raises:
        DataError: if one is too large for float32; names its row.
    """
    with np.errstate(over="ignore"):
        small = numbers.astype(np.float32)
    _check_finite(small, numbers, what)
    return small


def _check_finite(numbers: np.ndarray, values: np.ndarray, what: str) -> None:
    finite = np.isfinite(numbers)
    if not finite.all():
        finite = finite.reshape(len(numbers), -1).all(axis=1)
        row = int(finite.argmin())
        raise DataError(
            f"{what} must be finite numbers of float32. Received: row {row} with "
            f"{np.asarray(values[row]).tolist()}"
        )
