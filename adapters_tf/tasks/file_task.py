"""Tasks made of the user's own files."""

import os
import pathlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
from absl import logging

from adapters_tf.data import labels as labels_lib
from adapters_tf.data.examples import Examples, QuestionExamples
from adapters_tf.data.files import FileFormat, Table, read_columns
from adapters_tf.data.splits import train_dev_split
from adapters_tf.data.squad import is_question_file, read_questions
from adapters_tf.errors import DataError
from adapters_tf.tasks.task import Task, TaskData

LabelKind = Literal["auto", "class", "number"]

# More distinct numbers than this are a scale rather than names of classes.
_MAX_NUMERIC_CLASSES = 20


def load_file_task(
    train_file: str | os.PathLike[str],
    dev_file: str | os.PathLike[str] | None,
    format: FileFormat | None,
    label_kind: LabelKind = "auto",
    dev_fraction: float = 0.1,
    seed: int = 0,
    name: str | None = None,
) -> TaskData:
    """Makes a task of a CSV, TSV or JSON-lines file, or of a SQuAD one.

    A `.json` file that holds SQuAD v1.1 or a list of `{context, question,
    answer}` makes a question-answering task; any other one is classification
    or regression.

    Args:
        train_file: The training rows.
        dev_file: The development rows; `None` to split them off the training
            rows, by class where there are classes and by context where there
            are questions.
        format: The columns of both files; not used for questions.
        label_kind: `"class"`, `"number"`, or `"auto"`: numbers if every label
            is one and either all have a decimal point or there are more than
            20 distinct ones, else classes.
        dev_fraction: Share of the rows split off; not used with a `dev_file`.
        seed: Seed of that split.
        name: Name of the task; `None` for that of the training file.

    Raises:
        DataError: A file, its labels or an argument are not usable.
    """
    name = name or pathlib.Path(train_file).stem
    if is_question_file(train_file):
        return _question_task(train_file, dev_file, dev_fraction, seed, name)
    if label_kind not in ("auto", "class", "number"):
        raise DataError(
            "label_kind must be 'auto', 'class' or 'number'. Received: "
            f"label_kind={label_kind!r}"
        )
    format = _require_format(format, train_file)
    if format.label_column is None:
        raise DataError(
            "Training rows need labels. Received: label_column=None. Name the column "
            f"of the labels in {train_file}"
        )
    table = read_columns(train_file, format)
    raw = table.raw_labels or []
    task = _make_task(name, format, _resolve_kind(label_kind, raw, table.path), raw)
    train = _encode(table, task)
    if dev_file is not None:
        return TaskData(task, train, _encode(read_columns(dev_file, format), task))
    is_class = task.kind == "classification"
    train_rows, dev_rows = train_dev_split(
        train.labels if is_class else None, len(train), dev_fraction, seed
    )
    return TaskData(task, train.take(train_rows), train.take(dev_rows))


def load_file_examples(
    path: str | os.PathLike[str], format: FileFormat | None, task: Task
) -> Examples | QuestionExamples:
    """Reads a file for a task that exists, to evaluate or to predict.

    Args:
        path: The file.
        format: Its columns; without a label column the rows are unlabelled.
            Not used for questions, whose answers may be missing.
        task: The task, whose labels and number of texts the file must fit.

    Raises:
        DataError: The file or its labels are not usable for the task.
    """
    if task.kind == "question_answering":
        return read_questions(path, require_answers=False)
    format = _require_format(format, path)
    if len(format.text_columns) != len(task.text_columns):
        raise DataError(
            f"The task {task.name!r} has {len(task.text_columns)} text columns "
            f"({', '.join(task.text_columns)}), and a file for it must have as many. "
            f"Received: {path} with text_columns={format.text_columns!r}"
        )
    return _encode(read_columns(path, format), task)


def _require_format(
    format: FileFormat | None, path: str | os.PathLike[str]
) -> FileFormat:
    if format is None:
        raise DataError(
            f"A file of texts needs the names of its columns. Received: {path} without "
            "any. (A .json file of questions, in the form of SQuAD v1.1, needs none.)"
        )
    return format


def _resolve_kind(kind: LabelKind, raw: Sequence[str], path: str) -> LabelKind:
    if kind != "auto":
        return kind
    numbers = [labels_lib.parse_number(value) for value in raw]
    numeric = None not in numbers
    is_scale = numeric and (
        all("." in value for value in raw) or len(set(numbers)) > _MAX_NUMERIC_CLASSES
    )
    kind = "number" if is_scale else "class"
    logging.info("The labels of %s are taken as %s (label_kind)", path, kind)
    return kind


def _make_task(
    name: str, format: FileFormat, kind: LabelKind, raw: Sequence[str]
) -> Task:
    if kind == "number":
        return Task(
            name, "regression", format.text_columns, (), ("spearman", "pearson")
        )
    return Task(
        name,
        "classification",
        format.text_columns,
        labels_lib.infer_labels(raw),
        ("accuracy", "f1_macro"),
    )


def _encode(table: Table, task: Task) -> Examples:
    raw, lines, path = table.raw_labels, table.lines, table.path
    if raw is None:
        return Examples(table.texts)
    if task.kind == "regression":
        labels = labels_lib.encode_scores(raw, lines=lines, path=path)
    else:
        labels = labels_lib.encode_class_labels(
            raw, task.labels, lines=lines, path=path
        )
    return Examples(table.texts, labels)


def _question_task(
    train_file: str | os.PathLike[str],
    dev_file: str | os.PathLike[str] | None,
    dev_fraction: float,
    seed: int,
    name: str,
) -> TaskData:
    task = Task(
        name,
        "question_answering",
        ("question", "context"),
        metrics=("f1", "exact_match"),
    )
    train = read_questions(train_file)
    if dev_file is not None:
        return TaskData(task, train, read_questions(dev_file))
    # Whole contexts, or the development part would be of paragraphs seen before.
    contexts, group = np.unique(np.array(train.contexts, object), return_inverse=True)
    if len(contexts) < 2:
        raise DataError(
            "Splitting off a development part needs at least 2 contexts. Received: "
            f"{train_file} with {len(contexts)}. Give a development file of your own"
        )
    _, chosen = train_dev_split(None, len(contexts), dev_fraction, seed)
    in_dev = np.isin(group, chosen)
    return TaskData(
        task, train.take(np.flatnonzero(~in_dev)), train.take(np.flatnonzero(in_dev))
    )
