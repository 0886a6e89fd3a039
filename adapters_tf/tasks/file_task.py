"""Create tasks from the user's own files."""

import os
import pathlib

import numpy as np

from adapters_tf.data.examples import Rows, TaskData
from adapters_tf.data.files import DataFile, FileFormat
from adapters_tf.data.row_stream import RowStream, WholeRows
from adapters_tf.errors import DataError
from adapters_tf.models.task import Task
from adapters_tf.tasks.base import Kind
from adapters_tf.tasks.kinds import kind_named, kinds

_SHOWN = 10


def label_kinds() -> tuple[str, ...]:
    """Return the valid values of `label_kind`: `"auto"` and those of the kinds."""
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
    """Create a task from a CSV, TSV, JSON-lines, SQuAD or CoNLL file.

    A `.json` file in SQuAD v1.1 format, or with a list of
    `{context, question, answer}`, gives a question-answering task; for other files see
    `label_kind`.

    Args:
        train_file: The training rows.
        dev_file: The development rows; `None` to split them off the training rows,
            stratified by class, or by whole contexts for questions. Rows whose texts
            differ only in case and white space stay in the same part.
        format: The columns of both files; not used for questions.
        label_kind: The form of the labels: `"class"`, `"number"`, `"multi"` (any number
            of labels per row, see `label_sets`), `"tags"` (one for each word, see
            `read_conll`), or `"auto"`. `"auto"` means tags for files with a CoNLL
            suffix; several labels if the format describes them; numbers if all labels
            are numbers and at least one has a fraction; otherwise classes. It prints
            what it took.
        dev_fraction: Share of the distinct rows to split off; not used with a
            `dev_file`.
        seed: Seed of the split.
        name: Name of the task; `None` for the training file's name.

    Raises:
        DataError: if a file, its labels or an argument is unusable.
    """
    file = DataFile(train_file, format)
    kind = _kind_of(file, label_kind)
    task, train = kind.new_task(name or pathlib.Path(train_file).stem, file)
    if label_kind == "auto" and kind.label_kind is not None:
        print(
            f"{file.path}: {_labels_read(task, train)}, taken as "
            f"--label_kind={kind.label_kind}; give another if that is wrong",
            flush=True,
        )
    if dev_file is not None:
        dev = kind.read(DataFile(dev_file, format), task, require_labels=True)
        return TaskData(task, train, dev)
    train_rows, dev_rows = kind.split(train, dev_fraction, seed, file.path)
    return TaskData(task, train.take(train_rows), train.take(dev_rows))


def load_file_examples(
    path: str | os.PathLike[str], format: FileFormat | None, task: Task
) -> Rows:
    """Read a file for an existing task, to evaluate or predict.

    Args:
        path: The file.
        format: Its columns; without a label column, the rows are unlabelled. Not used
            for questions; their answers may be missing.
        task: The task, whose labels and number of texts the file must fit.

    Raises:
        DataError: if the file or its labels are unusable for the task.
    """
    return kind_named(task.kind).read(DataFile(path, format), task)


def stream_file_examples(
    path: str | os.PathLike[str], format: FileFormat | None, task: Task
) -> RowStream | WholeRows:
    """Read the unlabelled rows of a file in chunks; see `load_file_examples`.

    A file of texts can have any size. Questions and sentences of words are read at
    once.

    Args:
        path: The file.
        format: Its columns; label columns are ignored. Not used for questions.
        task: The task.

    Raises:
        DataError: if the file is unusable for the task.
    """
    return kind_named(task.kind).stream(DataFile(path, format), task)


def _kind_of(file: DataFile, label_kind: str) -> Kind:
    """Return the kind of a file of training rows."""
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
    return next(kind for kind in known if kind.recognises(file))


def _labels_read(task: Task, rows: Rows) -> str:
    """Describe the labels of training rows, for the user to check."""
    if task.labels:
        shown = ", ".join(task.labels[:_SHOWN]) + ", ..." * (len(task.labels) > _SHOWN)
        return f"{len(task.labels)} labels, {shown}"
    scores = np.asarray(rows.references)
    return f"numbers from {scores.min():g} to {scores.max():g}"
