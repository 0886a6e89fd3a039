"""What a task is: a kind of output, its labels and its metrics."""

import dataclasses
from typing import Any, Literal

from adapters_tf.data.examples import Rows
from adapters_tf.errors import UserError

Kind = Literal[
    "classification",
    "regression",
    "question_answering",
    "multi_label",
    "token_classification",
]


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set's meaning: what goes in, what comes out, how it is scored.

    Attributes:
        name: Name of the task, as in `--task`, or of the user's file.
        kind: What the head returns.
        text_columns: Names of the text columns, in the order in which they are
            packed; for `"token_classification"`, the number of the words' column.
        labels: Class names in the order of their indices; empty unless
            `kind` is `"classification"` or `"multi_label"`, or the tags of
            `"token_classification"`, `O` first.
        metrics: Names of the metrics (see `adapters_tf.tasks.metrics`); the
            first is the one that selects and is reported.
    """

    name: str
    kind: Kind
    text_columns: tuple[str, ...]
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)

    @property
    def num_outputs(self) -> int:
        """Width of the head: classes, 1 for a score, 2 for start and end."""
        widths = {"regression": 1, "question_answering": 2}
        return widths.get(self.kind, len(self.labels))

    def to_dict(self) -> dict[str, Any]:
        """The task as plain JSON values; `Task.from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "Task":
        """The task that `to_dict` wrote.

        Raises:
            UserError: if it is not one, as in an adapter saved without its task.
        """
        missing = {"name", "kind", "text_columns"} - set(config)
        if missing:
            raise UserError(
                "The programs need an adapter's task, to read rows and name classes. "
                f"Received: one without {', '.join(sorted(missing))}. In Python save "
                "it with its task: model.get_adapter(task=Task(...).to_dict()), Task "
                "from adapters_tf.tasks.task."
            )
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in config.items()
        }
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class TaskData:
    """A task with its rows.

    Attributes:
        task: The task.
        train: Training rows.
        dev: The rows that select and report.
        extra_dev: Further evaluation splits by name (MNLI's mismatched one).
    """

    task: Task
    train: Rows
    dev: Rows
    extra_dev: dict[str, Rows] = dataclasses.field(default_factory=dict)
