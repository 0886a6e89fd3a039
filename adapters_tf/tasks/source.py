"""The source of a task's rows: a registry entry or the user's own files."""

import contextlib
import dataclasses
import difflib
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from adapters_tf.data import tfds_source
from adapters_tf.data.demo import DEMO_DATA_ENCODING, demo_data_file
from adapters_tf.data.examples import Examples, Rows, TaskData
from adapters_tf.data.files import FileFormat, find_public_files, read_columns
from adapters_tf.data.glue import GLUE_LAYOUTS, load_glue_files
from adapters_tf.data.labels import encode_class_labels
from adapters_tf.data.paper_tasks import (
    PAPER_TASKS,
    load_paper_task,
)
from adapters_tf.data.splits import text_key, train_dev_split
from adapters_tf.data.squad import read_questions
from adapters_tf.errors import DataError, UserError, check_types
from adapters_tf.models.task import Task
from adapters_tf.tasks.file_task import load_file_task

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


# Use a fixed seed, so that runs with different seeds use the same rows.
_SPLIT_SEED = 0


@dataclasses.dataclass(frozen=True)
class TaskSource:
    """The description of a task's rows, before they are read.

    Attributes:
        name: Name of a task of the registry, or with a `train_file`, any name for the
            task. `None` without a `train_file` means the demo's tweets.
        data_dir: Folder with a registry task's public files; `None` for TensorFlow
            Datasets.
        tfds_data_dir: Data folder of TensorFlow Datasets.
        train_file: File of training rows of the user's own task.
        dev_file: File of its dev rows; `None` to split off training rows.
        format: The columns of both files.
        label_kind: See `load_file_task`.
        dev_fraction: Share of the rows to split off if there is no `dev_file`.
        max_train_examples: Train on this many random rows; `None` for all.
    """

    name: str | None = None
    data_dir: str | None = None
    tfds_data_dir: str | None = None
    train_file: str | None = None
    dev_file: str | None = None
    format: FileFormat | None = None
    label_kind: str = "auto"
    dev_fraction: float = 0.1
    max_train_examples: int | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TaskSource":
        """Create a source from the fields of this class and of `FileFormat`.

        Raises:
            UserError: if a field is unknown or has a value of another type.
        """
        own = {f.name for f in dataclasses.fields(cls)} - {"format"}
        of_format = {f.name for f in dataclasses.fields(FileFormat)}
        unknown = sorted(set(values) - own - of_format)
        if unknown:
            raise UserError(
                f"A task takes {', '.join(sorted(own | of_format))}. Received: "
                f"{', '.join(unknown)} of the task {values.get('name')!r}"
            )
        parts = {k: v for k, v in values.items() if k in of_format}
        if parts:
            parts.setdefault("text_columns", ("text",))
            if not parts.get("label_columns"):
                parts.setdefault("label_column", "label")
        rest = {k: v for k, v in values.items() if k in own}
        check_types(cls, rest)
        check_types(FileFormat, parts)
        return cls(**rest, format=FileFormat(**parts) if parts else None)

    @property
    def task_name(self) -> str:
        """Name of the loaded task."""
        if self.name is not None:
            return self.name
        return pathlib.Path(self.train_file).stem if self.train_file else "tweets"

    def load(self) -> TaskData:
        """Read the rows.

        Raises:
            UserError: if the task or its files are unusable.
        """
        if self.train_file is not None:
            data = load_file_task(
                self.train_file,
                self.dev_file,
                self.format or FileFormat(("text",), "label"),
                self.label_kind,
                self.dev_fraction,
                seed=_SPLIT_SEED,
                name=self.name,
            )
        elif self.name is not None:
            data = load_task(self.name, self.data_dir, self.tfds_data_dir)
        else:
            data = load_demo_task(_SPLIT_SEED)
        return limit_train_rows(data, self.max_train_examples, _SPLIT_SEED)


def limit_train_rows(data: TaskData, max_rows: int | None, seed: int) -> TaskData:
    """Keep at most `max_rows` random training rows of a task.

    Args:
        data: The task.
        max_rows: Number of rows to keep, in their order; `None` for all.
        seed: Seed of the random choice.

    Raises:
        UserError: if `max_rows` is below 1.
    """
    if max_rows is None or max_rows >= len(data.train):
        return data
    if max_rows < 1:
        raise UserError(
            "max_train_examples must be 1 or more. Received: "
            f"max_train_examples={max_rows}"
        )
    rows = np.random.default_rng(seed).permutation(len(data.train))[:max_rows]
    return dataclasses.replace(data, train=data.train.take(np.sort(rows)))
