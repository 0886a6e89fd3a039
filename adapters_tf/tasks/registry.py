"""The tasks that have a name: GLUE's, SQuAD, and the paper's other ones."""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Callable, Mapping

from adapters_tf.data import tfds_source
from adapters_tf.data.examples import Rows, TaskData
from adapters_tf.data.glue_files import GLUE_LAYOUTS, load_glue_files
from adapters_tf.data.newsgroups import NEWSGROUPS, load_newsgroups
from adapters_tf.data.squad import read_questions
from adapters_tf.data.text_layouts import TEXT_LAYOUTS
from adapters_tf.data.text_tasks import load_text_task
from adapters_tf.data.trec import TREC_LABELS, load_trec
from adapters_tf.errors import DataError, UserError
from adapters_tf.models.task import Task

Splits = Mapping[str, Rows]


@dataclasses.dataclass(frozen=True)
class TaskEntry:
    """A named task and its sources.

    Attributes:
        task: The task. Its labels are empty where only the file knows them.
        from_files: Reads the task's rows from a local folder.
        from_tfds: Loads the splits from TensorFlow Datasets, kept in this
            folder or, for `None`, its default one; `None` for a task that is read
            from files only.
    """

    task: Task
    from_files: Callable[[str | os.PathLike[str]], TaskData]
    from_tfds: Callable[[str | None], Splits] | None = None


# Houlsby et al. (2019), section 3.2 and the GLUE benchmark; the first selects.
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
    names = {"train": "train-v1.1.json", "dev": "dev-v1.1.json"}
    root = pathlib.Path(data_dir)
    folders = (root / "squad", root / "SQuAD", root)
    for folder in folders:
        if (folder / names["train"]).exists():
            splits = {split: read_questions(folder / names[split]) for split in names}
            return _task_data(_SQUAD, splits)
    raise DataError(
        f"The files of squad must be {' and '.join(names.values())} in one of "
        f"{', '.join(map(str, folders))}. Received: data_dir={data_dir}, where there "
        "is no training file. Files of other names can be read as --train_file and "
        "--dev_file"
    )


def _text_task(name: str, labels: tuple[str, ...]) -> Task:
    return Task(name, "classification", ("text",), labels, ("accuracy", "f1_macro"))


def _layout_entry(name: str) -> TaskEntry:
    task = _text_task(name, TEXT_LAYOUTS[name].labels)

    def from_files(data_dir: str | os.PathLike[str]) -> TaskData:
        labels, splits = load_text_task(name, data_dir)
        return _task_data(
            task if task.labels else dataclasses.replace(task, labels=labels), splits
        )

    return TaskEntry(task, from_files)


def _reader_entry(
    name: str,
    labels: tuple[str, ...],
    read: Callable[[str | os.PathLike[str]], Splits],
) -> TaskEntry:
    task = _text_task(name, labels)
    return TaskEntry(task, lambda data_dir: _task_data(task, read(data_dir)))


TASKS: dict[str, TaskEntry] = {
    **{name: _glue_entry(name) for name in GLUE_LAYOUTS},
    "squad": TaskEntry(
        _SQUAD,
        from_files=_squad_from_files,
        from_tfds=lambda data_dir: tfds_source.load_tfds_squad(data_dir),
    ),
    "20newsgroups": _reader_entry("20newsgroups", NEWSGROUPS, load_newsgroups),
    **{name: _layout_entry(name) for name in TEXT_LAYOUTS},
    "trec": _reader_entry("trec", TREC_LABELS, load_trec),
}


def task_names() -> tuple[str, ...]:
    """The names of all tasks, in the order of the documentation."""
    return tuple(TASKS)


def load_task(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    tfds_data_dir: str | None = None,
) -> TaskData:
    """Loads a named task with its rows.

    Args:
        name: One of `task_names()`.
        data_dir: A local folder that holds the public files of the task, or the
            folders of several tasks, as docs/data.md says; `None` for TensorFlow
            Datasets, which has GLUE and SQuAD.
        tfds_data_dir: Where TensorFlow Datasets keeps prepared data, if not in
            its default place. Not used with a `data_dir`.

    Raises:
        UserError: There is no such task, it needs a folder, or TensorFlow Datasets
            cannot get it.
        DataError: The local files are missing or not in their layout.
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
        return entry.from_files(data_dir)
    if entry.from_tfds is None:
        raise UserError(
            f"The rows of {name} are read from its public files only. Received: no "
            "data_dir. Give the folder that holds them, as docs/data.md says, with "
            "--data_dir"
        )
    return _task_data(entry.task, entry.from_tfds(tfds_data_dir))
