"""The source of a task's rows: a registry entry or the user's own files."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from adapters_tf.data.examples import TaskData
from adapters_tf.data.files import FileFormat
from adapters_tf.errors import UserError, check_types
from adapters_tf.tasks.file_task import load_file_task
from adapters_tf.tasks.registry import load_demo_task, load_task

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
