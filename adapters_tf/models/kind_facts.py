"""Facts about each kind of task, for models and model cards."""

import dataclasses
from typing import Literal

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
