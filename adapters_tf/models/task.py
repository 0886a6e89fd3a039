"""A task, and what is known of its kind: its labels and its metrics."""

import dataclasses
from typing import Any, Literal

from adapters_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Task:
    """A task: its inputs, its outputs and its metrics.

    Attributes:
        name: Name of the task, as in `--task`, or of the user's file.
        kind: Name of its kind, such as `"classification"`: see
            `adapters_tf.tasks.kinds`.
        text_columns: Names of the text columns, in the order in which they are packed;
            for `"token_classification"`, the index of the words' column.
        labels: Names of the classes or tags in the order of their indices; empty
            for kinds without classes.
        metrics: Names of metrics of the kind; the first selects the best epoch and is
            reported.
    """

    name: str
    kind: str
    text_columns: tuple[str, ...]
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)

    def to_dict(self) -> dict[str, Any]:
        """Return the task as plain JSON values, for `Task.from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "Task":
        """Create a task from the output of `to_dict`.

        Raises:
            UserError: if a field is missing, as in an adapter saved without its task,
                or unknown.
        """
        missing = {"name", "kind", "text_columns"} - set(config)
        if missing:
            raise UserError(
                "The programs need an adapter's task, to read rows and name classes. "
                f"Received: one without {', '.join(sorted(missing))}. In Python save "
                "it with its task: model.get_adapter(task=Task(...).to_dict()), Task "
                "from adapters_tf.models.task."
            )
        known = [f.name for f in dataclasses.fields(cls)]
        if unknown := sorted(set(config) - set(known)):
            raise UserError(
                f"A task has the fields {', '.join(known)}. Received: "
                f"{', '.join(unknown)}"
            )
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in config.items()
        }
        return cls(**fields)


LabelForm = Literal["class", "score", "set", "tags", "span"]


@dataclasses.dataclass(frozen=True)
class KindFacts:
    """Facts about a kind of task, set as `facts` of its model class.

    Attributes:
        labels: The form of a row's label: one class, a score, a set of classes, a tag
            for each word, or a span of the context.
        metrics: Names of the metrics of a new task; the first selects the best epoch.
        text_columns: Default names of a task's text columns.
        pipeline_tag: Hugging Face's name for the kind, or `None`.
        file_suffix: Suffix of a file with rows of this kind.
        long_input: What happens to long inputs; `{}` is the longest, in tokens.
        answer: What the model answers on any text.
        needs_word_pieces: Whether the base must have a WordPiece tokenizer.
    """

    labels: LabelForm = "class"
    metrics: tuple[str, ...] = ("accuracy",)
    text_columns: tuple[str, ...] = ("text",)
    pipeline_tag: str | None = None
    file_suffix: str = ".csv"
    long_input: str = "What is beyond {} tokens is not read."
    answer: str = "one of its labels on any text"
    needs_word_pieces: bool = False

    @property
    def has_classes(self) -> bool:
        """Whether tasks of this kind have classes with names."""
        return self.labels in ("class", "set", "tags")


# `AdapterModel` adds each kind when its model class is defined.
FACTS: dict[str, KindFacts] = {}


def facts_of(kind: str) -> KindFacts:
    """Return the facts of a kind, or defaults for an unknown kind."""
    return FACTS.get(kind, KindFacts())
