"""Tasks made of the user's own files."""

import os
import pathlib

from absl import logging

from adapters_tf.data.examples import Rows, TaskData
from adapters_tf.data.files import DataFile, FileFormat
from adapters_tf.data.row_stream import RowStream, WholeRows
from adapters_tf.errors import DataError
from adapters_tf.models.task import Task
from adapters_tf.tasks.base import Kind
from adapters_tf.tasks.kinds import kind_named, kinds


def label_kinds() -> tuple[str, ...]:
    """What `label_kind` may be: `"auto"` and the names that kinds give their labels."""
    own = (kind.label_kind for kind in reversed([*kinds().values()]))
    return ("auto", *(name for name in own if name is not None))


def load_file_task(
    train_file: str | os.PathLike[str],
    dev_file: str | os.PathLike[str] | None,
    format: FileFormat | None,
    label_kind: str = "auto",
    dev_fraction: float = 0.1,
    seed: int = 0,
    name: str | None = None,
) -> TaskData:
    """Makes a task of a CSV, TSV or JSON-lines file, or of a SQuAD or CoNLL one.

    A `.json` file that holds SQuAD v1.1 or a list of `{context, question,
    answer}` makes a question-answering task; for any other file see `label_kind`.

    Args:
        train_file: The training rows.
        dev_file: The development rows; `None` to split them off the training
            rows, by class where there are classes and by context where there
            are questions. Rows whose texts differ only in case and white space
            come into the same part.
        format: The columns of both files; not used for questions.
        label_kind: What the labels are: `"class"`, `"number"`, `"multi"` (any number
            of labels a row, see `label_sets`), `"tags"` (one for each word, see
            `read_conll`), or `"auto"`: tags for files with a CoNLL suffix; several
            labels where the format says how they are written; numbers if every label
            is one and either all have a decimal point or there are more than
            20 distinct ones; else classes.
        dev_fraction: Share of the different rows split off; not used with a `dev_file`.
        seed: Seed of that split.
        name: Name of the task; `None` for that of the training file.

    Raises:
        DataError: A file, its labels or an argument are not usable.
    """
    file = DataFile(train_file, format)
    kind = _kind_of(file, label_kind)
    task, train = kind.new_task(name or pathlib.Path(train_file).stem, file)
    if dev_file is not None:
        dev = kind.read(DataFile(dev_file, format), task, require_labels=True)
        return TaskData(task, train, dev)
    train_rows, dev_rows = kind.split(train, dev_fraction, seed, file.path)
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
    return kind_named(task.kind).read(DataFile(path, format), task)


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
    return kind_named(task.kind).stream(DataFile(path, format), task)


def _kind_of(file: DataFile, label_kind: str) -> Kind:
    """The kind of a file of training rows."""
    known = kinds().values()
    for kind in known:
        if kind.label_kind is None and kind.recognises(file):
            return kind
    if label_kind not in label_kinds():
        raise DataError(
            f"label_kind must be one of {', '.join(label_kinds())}. Received: "
            f"label_kind={label_kind!r}"
        )
    if label_kind != "auto":
        return next(kind for kind in known if kind.label_kind == label_kind)
    kind = next(kind for kind in known if kind.recognises(file))
    logging.info(
        "The labels of %s are taken as %s (label_kind)", file.path, kind.label_kind
    )
    return kind
