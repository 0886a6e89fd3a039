"""A model's task record, which its adapter directory stores."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters_tf.errors import DataError, UserError
from adapters_tf.models.arrays import in_memory, read_columns
from adapters_tf.models.labels import (
    check_length,
    is_missing,
    names_in,
    read_classes,
    read_label_sets,
    read_tags,
)
from adapters_tf.models.loss_argument import reads_rows
from adapters_tf.models.row_numbers import read_scores, read_spans
from adapters_tf.models.task import facts_of

OUTSIDE = "O"


def default_columns(kind: str, num_texts: int = 1) -> tuple[str, ...]:
    """Return default names of a task's text columns.

    Args:
        kind: The task's kind.
        num_texts: Number of texts per row.
    """
    columns = facts_of(kind).text_columns
    if columns != ("text",) or num_texts == 1:
        return columns
    if num_texts == 2:
        return ("text", "text_pair")
    return tuple(f"text_{i}" for i in range(1, num_texts + 1))


def task_record(
    name: str,
    kind: str,
    text_columns: Sequence[str],
    labels: Sequence[str],
    num_classes: int,
) -> dict[str, Any]:
    """Return the task as JSON values, for `Adapter.task`.

    Args:
        name: The task's name.
        kind: Its kind.
        text_columns: Names of the columns of texts; empty for the default.
        labels: Names of the classes; if empty, their indices.
        num_classes: Number of classes; 0 for a task without classes.
    """
    return {
        "name": name,
        "kind": kind,
        "text_columns": list(text_columns or default_columns(kind)),
        "labels": list(labels or map(str, range(num_classes))),
        "metrics": list(facts_of(kind).metrics),
    }


def check_num_classes(num_classes: Any, least: int) -> int:
    """Return the number of classes as an integer.

    Args:
        num_classes: The argument of a task model.
        least: The smallest valid number.

    Raises:
        UserError: if it is not a whole number of at least this.
    """
    whole = isinstance(num_classes, numbers.Integral)
    if not whole or isinstance(num_classes, bool) or num_classes < least:
        came = repr(num_classes)
        if not isinstance(num_classes, numbers.Number | str):
            came = f"a {type(num_classes).__name__}"
        raise UserError(
            f"num_classes, a whole number, must be {least} or more. Received: "
            f"num_classes={came}"
        )
    return int(num_classes)


def check_text_columns(columns: Any) -> tuple[str, ...]:
    """Return the names of columns as a tuple.

    Args:
        columns: The names, or `None`.

    Raises:
        DataError: if they are no list of strings.
    """
    names = tuple(columns) if isinstance(columns, list | tuple) else (columns,)
    if columns is None:
        return ()
    if isinstance(columns, str) or not all(isinstance(name, str) for name in names):
        raise DataError(
            "text_columns must be a list of strings. Received: "
            f"text_columns={columns!r}"
        )
    return names


def check_labels(labels: Sequence[str], num_classes: int) -> tuple[str, ...]:
    """Check the names of the classes and return them as a tuple.

    Args:
        labels: The names, or none.
        num_classes: Number of classes; 0 for a task without classes.

    Raises:
        DataError: if names are not strings, repeat, or are not `num_classes` many.
    """
    plain: Any = labels.tolist() if hasattr(labels, "tolist") else labels
    names = tuple(plain) if isinstance(plain, list | tuple) else (None,)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(
            "labels must be a list of strings that are not empty. Received: "
            f"labels={labels!r}"
        )
    if names and (len(set(names)) != len(names) or len(names) != num_classes):
        raise DataError(
            f"labels must be the names of the {num_classes} classes, each once. "
            f"Received: {len(names)} names, {len(set(names))} of them different"
        )
    return names


def read_labels(
    model: Any, y: Any, rows: int | None, learn: bool, length: int = 0
) -> Any:
    """Convert labels in memory to the form that the model's loss reads.

    Args:
        model: An `AdapterModel`; if it has no class names yet, it learns those in `y`.
        y: The labels; see `AdapterModel.fit`.
        rows: Number of rows, or `None` if it is checked elsewhere.
        learn: Whether the model may learn names.
        length: Number of tokens of a row of the model's inputs; 0 for texts.

    Raises:
        DataError: if labels are missing or not of the kind's form, or names are
            unknown.
    """
    form = model.facts.labels
    if (form == "span" and rows is None) or (form == "tags" and y is None):
        return y  # `expand_rows` reads and checks them.
    if y is None:
        raise DataError(
            "fit and evaluate need labels beside the texts. Received: none. For "
            "predictions call predict"
        )
    if isinstance(y, tuple) and (form == "tags" or not any(map(in_memory, y))):
        y = list(y)  # Rows, not columns.
    y, columns = read_columns(y)
    if isinstance(y, tuple):
        y = np.stack([np.asarray(column) for column in y], axis=1)
    if rows is not None:
        check_length("label", y, rows)
    if form == "score":
        return read_scores(y)
    if form == "span":
        return read_spans(y, len(y), length)
    num_classes = model.head_config()["num_classes"]
    labels = model.labels
    if learn and not labels:
        names = columns if form == "set" and columns else names_in(y)
        labels = _learned(names, num_classes, form) if names else ()
    if form == "tags":
        y = read_tags(y, labels)
    elif form == "set":
        y = read_label_sets(y, labels, num_classes)
    elif model.loss_reads_rows and np.shape(y) == (len(y), num_classes):
        y = read_label_sets(y, (), num_classes)
    else:
        y = read_classes(y, labels, num_classes)
        if model.loss_reads_rows and reads_rows(model.example_loss):
            y = np.eye(num_classes, dtype=np.float32)[y]
    model.labels = labels
    return y


def _learned(names: tuple[str, ...], num_classes: int, form: str) -> tuple[str, ...]:
    """Return the names in the order of their indices."""
    if any(map(is_missing, names)):
        raise DataError(
            "No label may be missing. Received: a label that pandas or NumPy write for "
            f"a missing value, among {', '.join(names[:10])}. Leave such rows out; if "
            "it is the name of a class, give labels=[...] where the model is made"
        )
    if form == "tags" and OUTSIDE in names:
        names = (OUTSIDE, *(name for name in names if name != OUTSIDE))
    if len(names) != num_classes:
        raise DataError(
            f"The labels must name the model's {num_classes} classes, each of them at "
            f"least once. Received: {len(names)} names, {', '.join(names[:10])}. Give "
            "labels=[...] or another num_classes where the model is made"
        )
    return names
