"""Load named tasks: GLUE, SQuAD, the paper's other tasks, and the demo."""

import contextlib
import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping

from adapters_tf.data import tfds_source
from adapters_tf.data.demo import DEMO_DATA_ENCODING, demo_data_file
from adapters_tf.data.examples import Examples, Rows, TaskData
from adapters_tf.data.files import FileFormat, read_columns
from adapters_tf.data.find_files import find_public_files
from adapters_tf.data.glue import GLUE_LAYOUTS, load_glue_files
from adapters_tf.data.labels import encode_class_labels
from adapters_tf.data.paper_tasks import (
    PAPER_TASKS,
    load_paper_task,
)
from adapters_tf.data.splits import text_key, train_dev_split
from adapters_tf.data.squad import read_questions
from adapters_tf.errors import DataError, UserError
from adapters_tf.models.task import Task

Splits = Mapping[str, Rows]

_TWEET_LABELS = ("negative", "neutral", "positive")
_TWEETS_IN_DEV = 0.05
# Flags of a file's format, in an error's advice.
_FORMAT_FLAG = re.compile("--(encoding|delimiter|quoting|header|label_kind)")


@dataclasses.dataclass(frozen=True)
class TaskEntry:
    """A named task and its sources.

    Attributes:
        task: The task. Its labels are empty if only its files define them.
        from_files: Function that reads the task's rows from a local folder.
        from_tfds: Function that loads the splits from TensorFlow Datasets, given its
            data folder (`None` for the default); `None` if TensorFlow Datasets lacks
            the task.
    """

    task: Task
    from_files: Callable[[str | os.PathLike[str]], TaskData]
    from_tfds: Callable[[str | None], Splits] | None = None


# From Houlsby et al. (2019), section 3.2, and the GLUE benchmark. The first metric
# selects the best epoch.
_GLUE_METRICS = {
    "cola": ("matthews",),
    "sst2": ("accuracy",),
    "mrpc": ("f1", "accuracy"),
    "stsb": ("spearman", "pearson"),
    "qqp": ("f1", "accuracy"),
    "mnli": ("accuracy",),
    "qnli": ("accuracy",),
    "rte": ("accuracy",),
    "wnli": ("accuracy",),
}


def _glue_entry(name: str) -> TaskEntry:
    layout = GLUE_LAYOUTS[name]
    task = Task(
        name=name,
        kind="classification" if layout.labels else "regression",
        text_columns=layout.text_columns,
        labels=layout.labels,
        metrics=_GLUE_METRICS[name],
    )
    return TaskEntry(
        task,
        from_files=lambda data_dir: _task_data(task, load_glue_files(name, data_dir)),
        from_tfds=lambda data_dir: tfds_source.load_tfds_glue(name, data_dir),
    )


def _task_data(task: Task, splits: Splits) -> TaskData:
    extra = {k: rows for k, rows in splits.items() if k not in ("train", "dev")}
    return TaskData(task, splits["train"], splits["dev"], extra)


_SQUAD = Task(
    name="squad",
    kind="question_answering",
    text_columns=("question", "context"),
    metrics=("f1", "exact_match"),
)


def _squad_from_files(data_dir: str | os.PathLike[str]) -> TaskData:
    train, dev = find_public_files(
        "squad",
        data_dir,
        ("squad", "SQuAD"),
        [("train-v1.1.json", "dev-v1.1.json")],
        advice="Files of other names can be read as --train_file and --dev_file in "
        "training, and as --file in evaluation",
    )
    return TaskData(_SQUAD, read_questions(train), read_questions(dev))


def _paper_entry(name: str) -> TaskEntry:
    task = Task(
        name,
        "classification",
        ("text",),
        PAPER_TASKS[name],
        ("accuracy", "f1_macro"),
    )

    def from_files(data_dir: str | os.PathLike[str]) -> TaskData:
        labels, splits = load_paper_task(name, data_dir)
        return _task_data(dataclasses.replace(task, labels=labels), splits)

    return TaskEntry(task, from_files)


TASKS: dict[str, TaskEntry] = {
    **{name: _glue_entry(name) for name in GLUE_LAYOUTS},
    "squad": TaskEntry(
        _SQUAD,
        from_files=_squad_from_files,
        from_tfds=lambda data_dir: tfds_source.load_tfds_squad(data_dir),
    ),
    **{name: _paper_entry(name) for name in PAPER_TASKS},
}


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, in the order of the documentation."""
    return tuple(TASKS)


def load_task(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    tfds_data_dir: str | None = None,
) -> TaskData:
    """Load a named task with its rows.

    Args:
        name: One of `task_names()`.
        data_dir: A local folder with the task's public files, or with the folders of
            several tasks (see docs/data.md); `None` for TensorFlow Datasets, which has
            GLUE and SQuAD.
        tfds_data_dir: The data folder of TensorFlow Datasets; `None` for its default.
            Not used with a `data_dir`.

    Raises:
        UserError: if there is no such task, it needs a folder, or TensorFlow Datasets
            cannot load it.
        DataError: if the local files are missing or not in the expected layout.
    """
    if name not in TASKS:
        close = difflib.get_close_matches(
            name.lower().replace("-", ""), task_names(), n=1
        )
        hint = f". Did you mean {close[0]!r}?" if close else ""
        raise UserError(
            f"A task must be one of {', '.join(task_names())}. Received: {name!r}{hint}"
        )
    entry = TASKS[name]
    if data_dir is not None:
        with reading_published_files():
            return entry.from_files(data_dir)
    if entry.from_tfds is None:
        raise UserError(
            f"The rows of {name} are read from its public files only. Received: no "
            "data_dir. Give the folder that holds them, as docs/data.md says, with "
            "--data_dir"
        )
    return _task_data(entry.task, entry.from_tfds(tfds_data_dir))


@contextlib.contextmanager
def reading_published_files() -> Iterator[None]:
    """Say of a format's flag that an error advises that it does not help here.

    Raises:
        DataError: as the block does; with such a flag, a longer one.
    """
    try:
        yield
    except DataError as error:
        if not _FORMAT_FLAG.search(str(error)):
            raise
        raise DataError(
            f"{error}. That flag is for a file of your own; the files of a named task "
            "are read as they were published: get them anew"
        ) from None


def load_demo_task(seed: int = 0) -> TaskData:
    """Load the tweets of `demo_data_file` without duplicates.

    The file repeats many tweets, which would appear in both parts of a random split. So
    only the first row of each text is kept, ignoring case and spacing.

    Args:
        seed: Seed of the split into 95% training and 5% dev rows, by class.

    Raises:
        UserError: if the file is not in the cache and cannot be fetched.
    """
    table = read_columns(
        demo_data_file(),
        FileFormat(("text",), "sentiment", encoding=DEMO_DATA_ENCODING),
    )
    first: dict[str, int] = {}
    for row, text in enumerate(table.texts[0]):
        first.setdefault(text_key(text), row)
    rows = list(first.values())
    raw = table.raw_labels or []
    examples = Examples(
        ([table.texts[0][i] for i in rows],),
        encode_class_labels([raw[i] for i in rows], _TWEET_LABELS),
    )
    train, dev = train_dev_split(examples.labels, len(examples), _TWEETS_IN_DEV, seed)
    task = Task(
        "tweets", "classification", ("text",), _TWEET_LABELS, ("accuracy", "f1_macro")
    )
    return TaskData(task, examples.take(train), examples.take(dev))
