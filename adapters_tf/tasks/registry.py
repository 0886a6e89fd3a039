"""The tasks of the paper that have a name: the nine of GLUE, and SQuAD."""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Callable, Mapping

from adapters_tf.data import tfds_source
from adapters_tf.data.examples import Examples, QuestionExamples
from adapters_tf.data.glue_files import GLUE_LAYOUTS, load_glue_files
from adapters_tf.data.squad import read_questions
from adapters_tf.errors import DataError, UserError
from adapters_tf.tasks.task import Task, TaskData

Splits = Mapping[str, Examples | QuestionExamples]


@dataclasses.dataclass(frozen=True)
class TaskEntry:
    """A named task and its two sources.

    Attributes:
        task: The task.
        from_files: Reads the splits from a local folder.
        from_tfds: Loads the splits from TensorFlow Datasets, kept in this
            folder or, for `None`, its default one.
    """

    task: Task
    from_files: Callable[[str | os.PathLike[str]], Splits]
    from_tfds: Callable[[str | None], Splits]


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
        from_files=lambda data_dir: load_glue_files(name, data_dir),
        from_tfds=lambda data_dir: tfds_source.load_tfds_glue(name, data_dir),
    )


def _squad_from_files(data_dir: str | os.PathLike[str]) -> Splits:
    names = {"train": "train-v1.1.json", "dev": "dev-v1.1.json"}
    root = pathlib.Path(data_dir)
    folders = (root / "squad", root / "SQuAD", root)
    for folder in folders:
        if (folder / names["train"]).exists():
            return {split: read_questions(folder / names[split]) for split in names}
    raise DataError(
        f"The files of squad must be {' and '.join(names.values())} in one of "
        f"{', '.join(map(str, folders))}. Received: data_dir={data_dir}, where there "
        "is no training file. Files of other names can be read as --train_file and "
        "--dev_file"
    )


TASKS: dict[str, TaskEntry] = {name: _glue_entry(name) for name in GLUE_LAYOUTS}
TASKS["squad"] = TaskEntry(
    Task(
        name="squad",
        kind="question_answering",
        text_columns=("question", "context"),
        metrics=("f1", "exact_match"),
    ),
    from_files=_squad_from_files,
    from_tfds=lambda data_dir: tfds_source.load_tfds_squad(data_dir),
)


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
        data_dir: A local folder in the layout of GLUE's download script, or
            with SQuAD's two files; `None` for TensorFlow Datasets.
        tfds_data_dir: Where TensorFlow Datasets keeps prepared data, if not in
            its default place. Not used with a `data_dir`.

    Raises:
        UserError: There is no such task, or TensorFlow Datasets cannot get it.
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
    if data_dir is None:
        splits = dict(entry.from_tfds(tfds_data_dir))
    else:
        splits = dict(entry.from_files(data_dir))
    return TaskData(
        entry.task, train=splits.pop("train"), dev=splits.pop("dev"), extra_dev=splits
    )
