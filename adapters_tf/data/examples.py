"""Rows of one split of a data set, stored by column, before tokenising."""

import abc
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from adapters_tf.models.task import Task


class Rows(abc.ABC):
    """Rows of any kind of task."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @property
    @abc.abstractmethod
    def references(self) -> Any:
        """Return the references that metrics compare predictions with."""

    @abc.abstractmethod
    def take(self, indices: np.ndarray) -> "Rows":
        """Return the rows with these indices, in this order."""

    @abc.abstractmethod
    def iterate_texts(self) -> Iterator[tuple[str, ...]]:
        """Yield each row's texts, as a served task takes them."""

    @property
    def row_ids(self) -> Sequence[str] | None:
        """Return the rows' ids, or `None` if the kind has none."""
        return None


@dataclasses.dataclass(frozen=True)
class Examples(Rows):
    """Labelled or unlabelled rows of one or more texts.

    Attributes:
        texts: One entry per text column; each holds the N texts of that column, in the
            order of the rows.
        labels: `[N]` int32 class indices for classification, `[N]` float32 scores for
            regression, `[N, classes]` float32 of 0 and 1 for several labels per row, or
            `None` for unlabelled rows.
    """

    texts: tuple[Sequence[str], ...]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts[0])

    @property
    def references(self) -> np.ndarray:
        """Return the labels, which metrics compare predictions with.

        Raises:
            ValueError: if the rows are unlabelled.
        """
        if self.labels is None:
            raise ValueError(
                "Only labelled rows can be trained on or scored. Received: "
                f"{len(self)} rows without labels"
            )
        return self.labels

    def take(self, indices: np.ndarray) -> "Examples":
        """Return the rows with these indices, in this order."""
        return Examples(
            texts=tuple([column[i] for i in indices] for column in self.texts),
            labels=None if self.labels is None else self.labels[indices],
        )

    def iterate_texts(self) -> Iterator[tuple[str, ...]]:
        """Yield each row's texts, one or more."""
        return zip(*self.texts, strict=True)


@dataclasses.dataclass(frozen=True)
class QuestionExamples(Rows):
    """Questions with a context each and zero or more reference answers.

    Attributes:
        ids: The N question ids, unique.
        questions: The N questions.
        contexts: The N contexts.
        answers: For each row, the reference answer texts; an empty tuple for an
            unlabelled row.
        starts: For each row, the character offset (in Unicode code points) of each
            answer in the context.
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
        """Return this object: metrics use all of it."""
        return self

    @property
    def first_answers(self) -> list[tuple[str, int]] | None:
        """Return each row's first answer and start; `None` if any row has none."""
        if not all(self.answers):
            return None
        return [
            (texts[0], starts[0])
            for texts, starts in zip(self.answers, self.starts, strict=True)
        ]

    def take(self, indices: np.ndarray) -> "QuestionExamples":
        """Return the rows with these indices, in this order."""
        fields = dataclasses.fields(self)
        return QuestionExamples(
            **{f.name: [getattr(self, f.name)[i] for i in indices] for f in fields}
        )

    def iterate_texts(self) -> Iterator[tuple[str, ...]]:
        """Yield each row's question and context."""
        return zip(self.questions, self.contexts, strict=True)

    @property
    def row_ids(self) -> Sequence[str]:
        """Return the questions' ids."""
        return self.ids


@dataclasses.dataclass(frozen=True)
class WordExamples(Rows):
    """Sentences of words, tagged or not.

    Attributes:
        words: The words of each of N sentences; to train, one or more.
        tags: For each sentence, `[words]` int32 indices of tags, or `None`.
    """

    words: Sequence[tuple[str, ...]]
    tags: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.words)

    @property
    def references(self) -> "WordExamples":
        """Return this object: metrics use all of it."""
        return self

    def take(self, indices: np.ndarray) -> "WordExamples":
        """Return the rows with these indices, in this order."""
        tags = None if self.tags is None else [self.tags[i] for i in indices]
        return WordExamples([self.words[i] for i in indices], tags)

    def iterate_texts(self) -> Iterator[tuple[str, ...]]:
        """Yield each sentence as one text: its words joined by spaces."""
        return ((" ".join(words),) for words in self.words)


@dataclasses.dataclass(frozen=True)
class TaskData:
    """A task with its rows.

    Attributes:
        task: The task.
        train: Training rows.
        dev: The rows that select the best epoch and give the reported metrics.
        extra_dev: Further evaluation splits by name (MNLI's mismatched one).
    """

    task: Task
    train: Rows
    dev: Rows
    extra_dev: dict[str, Rows] = dataclasses.field(default_factory=dict)


def data_digests(data: TaskData) -> dict[str, str]:
    """Return hashes of a task's rows, with its labels, that know them again.

    Returns:
        `train_rows_sha256` and `dev_rows_sha256`, which covers the further splits too.
    """
    about = sorted(data.task.to_dict().items())
    return {
        "train_rows_sha256": _digest([about, data.train]),
        "dev_rows_sha256": _digest([about, data.dev, sorted(data.extra_dev.items())]),
    }


def _digest(value: Any) -> str:
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if dataclasses.is_dataclass(value):
            value = [getattr(value, field.name) for field in dataclasses.fields(value)]
        elif isinstance(value, Rows):
            value = [list(value.iterate_texts()), value.references]
        if isinstance(value, np.ndarray) and value.dtype.kind not in "OUS":
            add([value.dtype.str, value.shape, value.tobytes()])
        elif isinstance(value, Sequence | np.ndarray) and not isinstance(
            value, str | bytes
        ):
            found.update(b"[%d:" % len(value))
            for part in value:
                add(part)
        else:
            content = value if isinstance(value, bytes) else repr(value).encode()
            found.update(b"%d:" % len(content) + content)

    add(value)
    return found.hexdigest()


_RowsT = TypeVar("_RowsT", bound=Rows)


def rows_as(kind: type[_RowsT], rows: Rows) -> _RowsT:
    """Return `rows` after checking their class.

    Raises:
        TypeError: if the rows are of another class.
    """
    if not isinstance(rows, kind):
        raise TypeError(
            f"Rows must be {kind.__name__} here. Received: {type(rows).__name__}"
        )
    return rows
