"""Rows of one split of a data set, column by column, before tokenising."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled or unlabelled rows of one or two texts.

    Attributes:
        texts: One entry per text column (1 or 2); each holds the N texts of
            that column, in the order of the rows.
        labels: `[N]` int32 class indices for classification, `[N]` float32
            scores for regression, or `None` where the rows carry no label.
    """

    texts: tuple[Sequence[str], ...]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts[0])

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
