"""Read rows with any number of labels and convert the labels to numbers.

Files can use three forms:

- a label column with a separator: `text<tab>toxic;insult`, empty for none;
- JSON lines with a list: `{"text": "...", "label": ["toxic", "insult"]}`;
- a column of 0 and 1 for each label: `text,toxic,insult` and `"...",1,0`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters_tf.data.labels import (
    MAX_CLASSES,
    LabelIndex,
    distinct_names,
    natural_order,
    parse_number,
    where,
)
from adapters_tf.errors import DataError
from adapters_tf.models.labels import is_missing

LabelSet = tuple[str, ...]
_YES_OR_NO = {"true": True, "false": False}


def check_format(
    column: str | None, separator: str | None, columns: Sequence[str]
) -> None:
    """Check that the format describes labels in at most one way.

    Raises:
        DataError: if there are both label columns and a label column or separator, or
            the separator is empty or lacks a label column.
    """
    if columns and (column is not None or separator is not None):
        raise DataError(
            "label_columns stand in place of label_column and label_separator. "
            f"Received: label_columns={tuple(columns)!r} with label_column={column!r} "
            f"and label_separator={separator!r}"
        )
    if separator is not None and (column is None or not separator):
        raise DataError(
            "label_separator must be the text between the labels of the label column, "
            f"such as ';'. Received: label_separator={separator!r} with "
            f"label_column={column!r}"
        )


def parse_cells(
    cells: Sequence[Sequence[Any]],
    lines: Sequence[int],
    path: str,
    separator: str | None,
    columns: Sequence[str],
) -> list[LabelSet]:
    """Return the distinct labels of each row, without surrounding white space.

    Args:
        cells: For each row, the values of the label columns, or of the single label
            column: a text or a list of texts.
        lines: The line of each row.
        path: The file.
        separator: Separator between labels in a text.
        columns: Names of the label columns; empty for a single label column.

    Raises:
        DataError: if a value is not 0 or 1 or missing, or a text needs a separator.
    """
    if columns:
        return [
            tuple(
                name
                for name, value in zip(columns, row, strict=True)
                if _is_one(value, name, f"{path}, line {line}")
            )
            for row, line in zip(cells, lines, strict=True)
        ]
    found = []
    for (value,), line in zip(cells, lines, strict=True):
        if isinstance(value, str) and value.strip():
            if separator is None:
                raise DataError(
                    "Several labels in one text need a separator. Received: "
                    f"{path}, line {line}, with {value!r}. Give it, as in "
                    "--label_separator=';', or lists in JSON lines, or "
                    "--label_columns of 0 and 1"
                )
            value = value.split(separator)
        names = [part.strip() for part in value or ()]
        if any(map(is_missing, names)):
            raise DataError(
                "No label may be missing; a row without labels is an empty value or "
                f"list. Received: {names} at {path}, line {line}"
            )
        found.append(tuple(dict.fromkeys(name for name in names if name)))
    return found


def _is_one(value: str, name: str, where: str) -> bool:
    text = value.strip().lower()
    number = parse_number(text)
    if text in _YES_OR_NO:
        return _YES_OR_NO[text]
    if number not in (0.0, 1.0):
        raise DataError(
            "Every value of a label's own column must be 0 or 1. Received: "
            f"{value!r} in column {name!r} of {where}"
        )
    return number == 1.0


def infer_names(
    sets: Sequence[LabelSet], separator: str | None, path: str
) -> tuple[str, ...]:
    """Return the distinct labels in natural order.

    Raises:
        DataError: if there are none or too many, or the separator occurs nowhere.
    """
    names = set(distinct_names({name for labels in sets for name in labels}))
    if not names or len(names) > MAX_CLASSES:
        raise DataError(
            f"There must be from 1 to {MAX_CLASSES} labels. Received: {path}, with "
            f"{len(names)} in {len(sets)} rows{_such_as(names)}"
        )
    if separator is not None and max(map(len, sets)) < 2:
        raise DataError(
            "Some row must have several labels where a separator is given. Received: "
            f"{path}, in which {separator!r} separates none{_such_as(names)}. Give the "
            "separator that the file has, or --label_kind=class without one"
        )
    return natural_order(names)


def _such_as(names: set[str]) -> str:
    return f", such as {sorted(names)[:3]}" if names else ""


def encode(
    sets: Sequence[LabelSet],
    labels: Sequence[str],
    *,
    lines: Sequence[int],
    path: str,
) -> np.ndarray:
    """Return `[N, classes]` float32: 1 if the row has the label, else 0.

    Raises:
        DataError: if a label is not among `labels`.
    """
    index = LabelIndex(labels)
    encoded = np.zeros((len(sets), len(labels)), np.float32)
    for row, names in enumerate(sets):
        for name in names:
            at = index.get(name)
            if at is None:
                known = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
                raise DataError(
                    f"Every label must be one of the {len(labels)} known ones "
                    f"({known}). Received: {name!r} at {where(row, lines, path)}"
                )
            encoded[row, at] = 1
    return encoded
