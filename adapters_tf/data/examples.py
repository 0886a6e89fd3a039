"""Rows of one split of a data set, column by column, before tokenising."""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled or unlabelled rows of one or more texts.

    Attributes:
        texts: One entry per text column; each holds the N texts of
            that column, in the order of the rows.
        labels: `[N]` int32 class indices for classification, `[N]` float32
            scores for regression, `[N, classes]` float32 of 0 and 1 for several
            labels a row, or `None` where the rows carry no label.
    """

    texts: tuple[Sequence[str], ...]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts[0])

    @property
    def references(self) -> np.ndarray:
        """What metrics compare predictions with: the labels.

        Raises:
            ValueError: if the rows carry none.
        """
        if self.labels is None:
            raise ValueError(
                "Only labelled rows can be trained on or scored. Received: "
                f"{len(self)} rows without labels"
            )
        return self.labels

    def take(self, indices: np.ndarray) -> "Examples":
        """The rows with these indices, in this order."""
        return Examples(
            texts=tuple([column[i] for i in indices] for column in self.texts),
            labels=None if self.labels is None else self.labels[indices],
        )


@dataclasses.dataclass(frozen=True)
class QuestionExamples:
    """Questions on a context each, with zero or more reference answers.

    Attributes:
        ids: The N question ids, unique.
        questions: The N questions.
        contexts: The N contexts.
        answers: For each row the reference answer texts; an empty tuple where
            the row is unlabelled.
        starts: For each row the character offset (Unicode code points) in the
            context of each answer, as many as there are answers.
    """

    ids: Sequence[str]
    questions: Sequence[str]
    contexts: Sequence[str]
    answers: Sequence[tuple[str, ...]]
    starts: Sequence[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def references(self) -> "QuestionExamples":
        """What metrics compare predictions with: all of it."""
        return self

    @property
    def first_answers(self) -> list[tuple[str, int]] | None:
        """Each row's first answer with its start; `None` where a row has none."""
        if not all(self.answers):
            return None
        return [
            (texts[0], starts[0])
            for texts, starts in zip(self.answers, self.starts, strict=True)
        ]

    def take(self, indices: np.ndarray) -> "QuestionExamples":
        """The rows with these indices, in this order."""
        fields = dataclasses.fields(self)
        return QuestionExamples(
            **{f.name: [getattr(self, f.name)[i] for i in indices] for f in fields}
        )


@dataclasses.dataclass(frozen=True)
class WordExamples:
    """Sentences of words, tagged or not.

    Attributes:
        words: The words of each of N sentences, one or more.
        tags: For each `[words]` int32 indices of the words' tags, or `None`.
    """

    words: Sequence[tuple[str, ...]]
    tags: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.words)

    @property
    def references(self) -> "WordExamples":
        """What metrics compare predictions with: all of it."""
        return self

    def take(self, indices: np.ndarray) -> "WordExamples":
        """The rows with these indices, in this order."""
        tags = None if self.tags is None else [self.tags[i] for i in indices]
        return WordExamples([self.words[i] for i in indices], tags)


Rows = Examples | QuestionExamples | WordExamples
_Kind = TypeVar("_Kind", Examples, QuestionExamples, WordExamples)


def rows_as(kind: type[_Kind], rows: Rows) -> _Kind:
    """`rows`, for a caller that takes one kind of rows only.

    Raises:
        TypeError: if they are of another kind.
    """
    if not isinstance(rows, kind):
        raise TypeError(
            f"Rows must be {kind.__name__} here. Received: {type(rows).__name__}"
        )
    return rows
