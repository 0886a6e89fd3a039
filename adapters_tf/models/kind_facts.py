"""What a model and its card know of a kind of task."""

import dataclasses
from typing import Literal

LabelForm = Literal["class", "score", "set", "tags", "span"]


@dataclasses.dataclass(frozen=True)
class KindFacts:
    """Facts of a kind of task that its model class states, as `AdapterModel.facts`.

    Attributes:
        labels: What a row's label is: one class, a score, a set of classes, a tag for
            each word, or a span of the context.
        metrics: Names of the metrics of a new task; the first one selects.
        text_columns: Names of a task's columns if its rows came without any.
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


# Filled by `AdapterModel` with each kind whose model class is defined.
FACTS: dict[str, KindFacts] = {}


def facts_of(kind: str) -> KindFacts:
    """The facts of a kind; those of an unknown kind are the defaults."""
    return FACTS.get(kind, KindFacts())
