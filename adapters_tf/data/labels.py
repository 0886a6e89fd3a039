"""Convert labels in files to class indices and scores."""

import decimal
import re
from collections.abc import Collection, Hashable, Sequence

import numpy as np

from adapters_tf.errors import DataError

MAX_CLASSES = 1000
# As in JSON. A name such as 007 or 1_000 is no number.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def infer_labels(raw: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct labels in natural order, as class names.

    Integers are sorted by value, other names by text with numbers by value: `item2`
    comes before `item10`. Equal numbers, such as `1` and `1.0`, are one class, named by
    the shortest spelling.

    Raises:
        DataError: if there is only one class, or so many that the column probably holds
            numbers, identifiers or text.
    """
    names = set(distinct_names(raw))
    if len(names) < 2:
        raise DataError(
            "Classification needs at least two classes. Received: "
            f"{len(raw)} rows, all labelled {next(iter(names), None)!r}"
        )
    if len(names) > MAX_CLASSES or (len(raw) >= 10 and len(names) > 0.8 * len(raw)):
        raise DataError(
            f"Classes must be at most {MAX_CLASSES} and have several rows each. "
            f"Received: {len(names)} distinct labels in {len(raw)} rows, such as "
            f"{sorted(names)[:3]}. If the labels are numbers to predict, give "
            "--label_kind=number; if this is a column of identifiers or texts, name "
            "another label column"
        )
    return natural_order(names)


def distinct_names(names: Collection[str]) -> list[str]:
    """Return one spelling, the shortest, of each name; equal numbers are one name."""
    spelling: dict[Hashable, str] = {}
    for name in sorted(set(names), key=lambda name: (len(name), name)):
        spelling.setdefault(_value(name), name)
    return list(spelling.values())


class LabelIndex:
    """The indices of labels by name, or by another spelling of the same number.

    Args:
        labels: The names in the order of their indices.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._index: dict[Hashable, int] = {}
        for i, name in enumerate(labels):
            self._index.setdefault(_value(name), i)
        self._index |= {name: i for i, name in enumerate(labels)}

    def get(self, name: str) -> int | None:
        """Return the index of this label, or `None` if there is none."""
        found = self._index.get(name)
        return self._index.get(_value(name)) if found is None else found


def _value(name: str) -> Hashable:
    return decimal.Decimal(name) if _NUMBER.fullmatch(name) else name


def natural_order(names: Collection[str]) -> tuple[str, ...]:
    """Sort names: integers by value, other names by text with numbers by value."""
    if all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names, key=lambda name: (_natural_key(name), name)))


def encode_class_labels(
    raw: Sequence[str],
    labels: Sequence[str],
    *,
    lines: Sequence[int] | None = None,
    path: str | None = None,
) -> np.ndarray:
    """Return the index in `labels` of each label.

    Args:
        raw: The N labels as written.
        labels: The class names in the order of their indices.
        lines: The line of each row, for messages; without it they give the row.
        path: The file, for messages.

    Returns:
        `[N]` int32.

    Raises:
        DataError: if a label is not among `labels`.
    """
    index = LabelIndex(labels)
    found = [index.get(value) for value in raw]
    unknown = [i for i, label in enumerate(found) if label is None]
    if unknown:
        known = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
        raise DataError(
            f"Every label must be one of the {len(labels)} known ones ({known}). "
            f"Received: {raw[unknown[0]]!r} at {where(unknown[0], lines, path)} "
            f"({len(unknown)} of {len(raw)} rows have unknown labels)"
        )
    return np.array(found, dtype=np.int32)


def encode_scores(
    raw: Sequence[str],
    *,
    lines: Sequence[int] | None = None,
    path: str | None = None,
) -> np.ndarray:
    """Convert each label to a number.

    Args:
        raw: The N labels as written, with a decimal point.
        lines: The line of each row, for messages; without it they give the row.
        path: The file, for messages.

    Returns:
        `[N]` float32, all finite.

    Raises:
        DataError: if a label is not a finite float32 number.
    """
    scores = np.empty(len(raw), dtype=np.float32)
    for i, value in enumerate(raw):
        number = parse_number(value)
        if number is None or not abs(number) <= _FLOAT32_MAX:
            raise DataError(
                "Every score must be a finite number with a decimal point, such as "
                f"3.5. Received: {value!r} at {where(i, lines, path)}"
            )
        scores[i] = number
    return scores


def parse_number(value: str) -> float | None:
    """Return the value as a float (also NaN and infinity), or `None` for text."""
    try:
        # float() also accepts 1_000, which in a data file is a name.
        return None if "_" in value else float(value)
    except ValueError:
        return None


def where(row: int, lines: Sequence[int] | None, path: str | None) -> str:
    """Describe a row's place in a file, for messages."""
    place = f"row {row + 1}" if lines is None else f"line {lines[row]}"
    return place if path is None else f"{path}, {place}"


def _natural_key(name: str) -> list[str | int]:
    # Text and numbers alternate, so equal positions have equal types.
    parts: list[str | int] = list(re.split(r"([0-9]+)", name))
    parts[1::2] = [int(part) for part in parts[1::2]]
    return parts
