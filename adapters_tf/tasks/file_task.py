"""Tasks made of the user's own files."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Literal, get_args

from absl import logging

from adapters_tf.data import label_sets
from adapters_tf.data import labels as labels_lib
from adapters_tf.data.conll import TaggedWords, is_conll_file, read_conll
from adapters_tf.data.examples import Examples, Rows, WordExamples
from adapters_tf.data.files import FileFormat, Table, read_columns
from adapters_tf.data.row_stream import RowStream, WholeRows
from adapters_tf.data.splits import split_groups, text_key
from adapters_tf.data.squad import is_question_file, read_questions
from adapters_tf.data.tags import encode_tags, infer_tags
from adapters_tf.errors import DataError
from adapters_tf.tasks.task import Task, TaskData

LabelKind = Literal["auto", "class", "number", "multi", "tags"]
LABEL_KINDS: tuple[LabelKind, ...] = get_args(LabelKind)

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
    """Makes a task of a CSV, TSV or JSON-lines file, or of a SQuAD or CoNLL one.

    A `.json` file that holds SQuAD v1.1 or a list of `{context, question,
    answer}` makes a question-answering task; any other one is classification,
    regression or multi-label classification.

    Args:
        train_file: The training rows.
        dev_file: The development rows; `None` to split them off the training
            rows, by class where there are classes and by context where there
            are questions. Rows whose texts differ in case and white space at most
            come into the same part.
        format: The columns of both files; not used for questions.
        label_kind: `"class"`, `"number"`, or `"auto"`: numbers if every label
            is one and either all have a decimal point or there are more than
            20 distinct ones, else classes. `"multi"`: any number of labels a row,
            see `label_sets`; so is `"auto"` where the format says how they are
            written. `"tags"`: a tag for each word, see `read_conll`; so is `"auto"`
            for files of those suffixes.
        dev_fraction: Share of the different rows split off; not used with a `dev_file`.
        seed: Seed of that split.
        name: Name of the task; `None` for that of the training file.

    Raises:
        DataError: A file, its labels or an argument are not usable.
    """
    name = name or pathlib.Path(train_file).stem
    if is_question_file(train_file):
        return _question_task(train_file, dev_file, dev_fraction, seed, name)
    if label_kind not in LABEL_KINDS:
        raise DataError(
            f"label_kind must be one of {', '.join(LABEL_KINDS)}. Received: "
            f"label_kind={label_kind!r}"
        )
    format = _require_format(format, train_file)
    if label_kind == "tags" or (label_kind == "auto" and is_conll_file(train_file)):
        return _tag_task(train_file, dev_file, format, dev_fraction, seed, name)
    if format.for_several_labels and label_kind not in ("auto", "multi"):
        raise DataError(
            "label_separator and label_columns are for rows with several labels, "
            f"label_kind='multi'. Received: label_kind={label_kind!r}"
        )
    if format.label_column is None and not format.label_columns:
        raise DataError(
            "Training rows need labels. Received: label_column=None. Name the column "
            f"of the labels in {train_file}"
        )
    several = label_kind == "multi" or format.for_several_labels
    table = read_columns(train_file, format, several_labels=several)
    task = _make_task(name, format, label_kind, table)
    train = _encode(table, task)
    if dev_file is not None:
        dev_table = read_columns(dev_file, format, several_labels=several)
        return TaskData(task, train, _encode(dev_table, task))
    is_class = task.kind == "classification"
    train_rows, dev_rows = split_groups(
        zip(*(map(text_key, column) for column in train.texts), strict=True),
        train.labels if is_class else None,
        dev_fraction,
        seed,
    )
    return TaskData(task, train.take(train_rows), train.take(dev_rows))


def load_file_examples(
    path: str | os.PathLike[str], format: FileFormat | None, task: Task
) -> Rows:
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
    _check_text_columns(path, format, task)
    if task.kind == "token_classification":
        _refuse_several_labels(format, task.name, task.kind)
        table = read_conll(path, format, tags=format.label_column is not None)
        return _encode_words(table, task)
    labelled = format.label_column is not None or bool(format.label_columns)
    several = task.kind == "multi_label" and labelled
    if not several:
        _refuse_several_labels(format, task.name, task.kind)
    return _encode(read_columns(path, format, several_labels=several), task)


def _refuse_several_labels(format: FileFormat, name: str, kind: str) -> None:
    if format.for_several_labels:
        raise DataError(
            "label_separator and label_columns are for tasks with several labels a "
            f"row. Received: the task {name!r}, {kind.replace('_', ' ')}"
        )


def _check_text_columns(
    path: str | os.PathLike[str], format: FileFormat, task: Task
) -> None:
    if len(format.text_columns) != len(task.text_columns):
        raise DataError(
            f"The task {task.name!r} has {len(task.text_columns)} text columns "
            f"({', '.join(task.text_columns)}), and a file for it must have as many. "
            f"Received: {path} with text_columns={format.text_columns!r}"
        )


def stream_file_examples(
    path: str | os.PathLike[str], format: FileFormat | None, task: Task
) -> RowStream | WholeRows:
    """The unlabelled rows of a file, some at a time; see `load_file_examples`.

    A file of texts may be of any size. Questions and sentences of words are read at
    once.

    Args:
        path: The file.
        format: Its columns; those of labels are not read. Not used for questions.
        task: The task.

    Raises:
        DataError: The file is not usable for the task.
    """
    if task.kind == "question_answering":
        return WholeRows(load_file_examples(path, None, task))
    format = _require_format(format, path)
    if task.kind == "token_classification":
        unlabelled = dataclasses.replace(
            format, label_column=None, label_separator=None, label_columns=()
        )
        return WholeRows(load_file_examples(path, unlabelled, task))
    _check_text_columns(path, format, task)
    return RowStream(path, format)


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
    name: str, format: FileFormat, label_kind: LabelKind, table: Table
) -> Task:
    if table.label_sets is not None:
        return Task(
            name,
            "multi_label",
            format.text_columns,
            format.label_columns
            or label_sets.infer_names(
                table.label_sets, format.label_separator, table.path
            ),
            ("f1_micro", "f1_macro"),
        )
    raw = table.raw_labels or []
    if _resolve_kind(label_kind, raw, table.path) == "number":
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
    if table.label_sets is not None:
        labels = label_sets.encode(
            table.label_sets, task.labels, lines=lines, path=path
        )
        return Examples(table.texts, labels)
    if raw is None:
        return Examples(table.texts)
    if task.kind == "regression":
        labels = labels_lib.encode_scores(raw, lines=lines, path=path)
    else:
        labels = labels_lib.encode_class_labels(
            raw, task.labels, lines=lines, path=path
        )
    return Examples(table.texts, labels)


def _tag_task(
    train_file: str | os.PathLike[str],
    dev_file: str | os.PathLike[str] | None,
    format: FileFormat,
    dev_fraction: float,
    seed: int,
    name: str,
) -> TaskData:
    _refuse_several_labels(format, name, "token_classification")
    table = read_conll(train_file, format)
    task = Task(
        name,
        "token_classification",
        (str(table.column),),
        infer_tags(table.tags or (), table.path),
        ("entity_f1", "entity_precision", "entity_recall"),
    )
    train = _encode_words(table, task)
    if dev_file is not None:
        return TaskData(task, train, _encode_words(read_conll(dev_file, format), task))
    sentences = (text_key(" ".join(words)) for words in train.words)
    train_rows, dev_rows = split_groups(sentences, None, dev_fraction, seed)
    return TaskData(task, train.take(train_rows), train.take(dev_rows))


def _encode_words(table: TaggedWords, task: Task) -> WordExamples:
    if table.tags is None:
        return WordExamples(table.words)
    tags = encode_tags(table.tags, task.labels, lines=table.lines, path=table.path)
    return WordExamples(table.words, tags)


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
    if len(set(train.contexts)) < 2:
        raise DataError(
            "Splitting off a development part needs at least 2 contexts. Received: "
            f"{train_file} with 1. Give a development file of your own"
        )
    train_rows, dev_rows = split_groups(train.contexts, None, dev_fraction, seed)
    return TaskData(task, train.take(train_rows), train.take(dev_rows))
