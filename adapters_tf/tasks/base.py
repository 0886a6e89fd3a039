"""The interface of a kind of task, from reading files to serving answers."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from adapters_tf.data.examples import Rows
from adapters_tf.data.files import DataFile
from adapters_tf.data.row_stream import RowStream, WholeRows
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import Features
from adapters_tf.models.task import Task

# A servable's row layout. "texts": one or more texts side by side. "question": the
# first text with windows of the second. "words": one text, tokenised word by word.
Layout = Literal["texts", "question", "words"]

Tensors = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Rows with their tokens.

    Attributes:
        examples: The rows.
        tokens: Their tokens; for questions, the windows' tokens.
        places: The tokens' places in the rows, if needed to interpret outputs.
        features: The model's input: `tokens`, or cached hidden states of the rows, with
            the same interface.
    """

    examples: Rows
    tokens: Features
    places: Any = None
    features: Any = None

    def __post_init__(self) -> None:
        if self.features is None:
            object.__setattr__(self, "features", self.tokens)


class ServedRows(Protocol):
    """Rows inside the graph of a servable.

    Attributes:
        text: `[B]` strings of valid UTF-8.
        text_pair: `[B]` strings, the second texts or contexts.
        windows: The encoder's inputs by name, `[W, length]` int32 each; `rows` `[W]`,
            each window's row; and `starts` and `ends` `[W, length]`, the span of each
            token's piece in the text. W equals B except for questions.
    """

    @property
    def text(self) -> Any: ...

    @property
    def text_pair(self) -> Any: ...

    @property
    def windows(self) -> Tensors: ...

    def answers(self, spans: Tensors, windows: Tensors) -> Tensors:
        """Return the best answer of each row, from the windows' span logits."""
        ...


class RowsOfTasks(ServedRows, Protocol):
    """Rows of many tasks inside the graph of a servable, for `mixed_text`.

    Attributes:
        num_classes: Width of `labels` and `probabilities` as a Python integer: the
            largest number of classes or outputs among tasks with one vector per text.
    """

    @property
    def num_classes(self) -> int: ...

    def wanted(self, kind: str) -> Any:
        """Return `[B]` bool: whether a row belongs to a known task of this kind."""
        ...

    @property
    def first_windows(self) -> Any:
        """Return `[B]` int32: each row's first window."""
        ...

    @property
    def logits(self) -> tuple[Any, Any]:
        """Return `[B, num_classes]` masks (bool) and logits (float32).

        For rows of tasks with one vector per text; the mask marks their outputs.
        """
        ...

    def token_logits(self, windows: Any, most: int) -> tuple[Any, Any]:
        """Compute the outputs of some windows' tokens.

        Args:
            windows: `[V]` int32 indices of windows.
            most: The largest number of outputs among these windows' tasks.

        Returns:
            `[V, most]` bool, true for outputs of the window's task, and the logits
            `[V, length, most]`.
        """
        ...

    def labels(self, most: int) -> Any:
        """Return `[B, most]` strings: the task's classes, padded with ""."""
        ...

    def most_outputs(self, kind: str) -> int:
        """Return the largest number of outputs among tasks of this kind, as an int."""
        ...


class Kind(abc.ABC):
    """Everything that the library knows about one kind of task.

    To add a kind, write a module with a subclass and add a line to `tasks/kinds.py`.
    Kinds with one output vector per text share `TextKind`. The methods below
    "SavedModels" run in TensorFlow graphs; import TensorFlow only inside them.

    Attributes:
        name: Name of the kind in adapter files.
        label_kind: The value of `--label_kind` that selects it; `None` if the files of
            this kind are unambiguous.
        model_class: The Keras model, whose `facts` say more.
        one_vector: Whether rows are texts and the head reads one vector per row. Tasks
            of such kinds can read the same rows together.
        layout: How a servable lays out its rows.
    """

    name: ClassVar[str]
    label_kind: ClassVar[str | None]
    model_class: ClassVar[type[AdapterModel]]
    one_vector: ClassVar[bool] = False
    layout: ClassVar[Layout] = "texts"

    @property
    def title(self) -> str:
        """The name in prose."""
        return self.name.replace("_", " ")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics of a new task.

        The first one selects the best epoch; higher values of it must be better.
        """
        return self.model_class.facts.metrics

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Default names of a task's text columns."""
        return self.model_class.facts.text_columns

    # === Files ===

    @abc.abstractmethod
    def recognises(self, file: DataFile) -> bool:
        """Whether a file of training rows is of this kind.

        The first kind in `kinds()` that returns true is used.
        """

    @abc.abstractmethod
    def new_task(self, name: str, file: DataFile) -> tuple[Task, Rows]:
        """Create a task and read its training rows.

        Args:
            name: Name of the task.
            file: The training rows.

        Raises:
            DataError: if the file or its labels are unusable.
        """

    @abc.abstractmethod
    def read(self, file: DataFile, task: Task, require_labels: bool = False) -> Rows:
        """Read rows for an existing task.

        Args:
            file: The rows.
            task: The task, whose labels and number of texts the file must fit.
            require_labels: Whether all rows must have labels; if false, it depends on
                the file and its format.

        Raises:
            DataError: if the file or its labels are unusable for the task.
        """

    @abc.abstractmethod
    def stream(self, file: DataFile, task: Task) -> RowStream | WholeRows:
        """Read the unlabelled rows of a file in chunks.

        Raises:
            DataError: if the file is unusable for the task.
        """

    def split(
        self, rows: Rows, fraction: float, seed: int, path: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Split development rows off the training rows.

        Args:
            rows: The labelled rows.
            fraction: Share of the distinct rows in the development part.
            seed: Seed of the random choice.
            path: The rows' file, for messages.

        Returns:
            The indices of both parts; see `split_groups`.
        """
        # Only training needs scikit-learn.
        from adapters_tf.data.splits import split_groups

        return split_groups(self.groups(rows), self.strata(rows), fraction, seed)

    @abc.abstractmethod
    def groups(self, rows: Rows) -> Sequence[Any]:
        """Return a group key for each row; a split keeps groups together."""

    def strata(self, rows: Rows) -> np.ndarray | None:
        """Return `[N]` classes to stratify a split by, or `None`."""
        return None

    # === Model and predictions ===

    @abc.abstractmethod
    def head_arguments(self, task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the Keras model's head for a task.

        Args:
            task: The task.
            options: The run's options: `head_input`, `dropout`, `hidden_layer`.
        """

    @abc.abstractmethod
    def prepare(self, rows: Rows, preprocessor: Any) -> Prepared:
        """Tokenise rows."""

    @abc.abstractmethod
    def note(self, prepared: Prepared, seq_length: int) -> str:
        """Return a note for the user about the tokens, such as how many were cut."""

    @abc.abstractmethod
    def records(
        self, task: Task, outputs: Sequence[Any], prepared: Prepared
    ) -> list[dict[str, Any]]:
        """Return one JSON-like record per row, in the order of the rows.

        Args:
            task: The task.
            outputs: The model's outputs for `prepared.features`.
            prepared: The rows.
        """

    # === Metrics ===

    @abc.abstractmethod
    def predictions(self, task: Task, records: Sequence[Mapping[str, Any]]) -> Any:
        """Extract the predictions for `scores` from `records`."""

    @abc.abstractmethod
    def scores(self, task: Task, predictions: Any, references: Any) -> dict[str, float]:
        """Compute all metrics of this kind by name; see `compute_metrics`.

        Raises:
            ValueError: if shapes or ids do not match, or references are missing.
        """

    @abc.abstractmethod
    def majority(self, task: Task, train: Any, dev: Any) -> Any:
        """Return the best constant predictions, given the references of both parts."""

    def confusion(
        self, task: Task, predictions: Any, references: Any
    ) -> dict[str, Any] | None:
        """Return the confusion matrix as JSON values, or `None` without classes."""
        return None

    # === SavedModels ===

    def head_function(
        self, config: Mapping[str, Any]
    ) -> Callable[[Tensors, Tensors], Any]:
        """Build the head of an adapter SavedModel.

        Args:
            config: As `Adapter.head`.

        Returns:
            A function of the encoder's outputs (`sequence_output`, `pooled_output`,
            `input_mask`) and the head's tensors by variable path. It returns the same
            as the Keras model.
        """
        return lambda outputs, tensors: self.logits(
            self.features(config, outputs), tensors, outputs["input_mask"]
        )

    @abc.abstractmethod
    def num_outputs(self, config: Mapping[str, Any]) -> int:
        """Return the width of the head.

        Args:
            config: As `Adapter.head`.
        """

    def head_shapes(
        self, config: Mapping[str, Any], hidden_dim: int
    ) -> dict[str, tuple[int, ...]]:
        """Return path -> shape of the head's variables: by default a linear layer's.

        Args:
            config: As `Adapter.head`.
            hidden_dim: Hidden size `d` of the base.
        """
        outputs = self.num_outputs(config)
        return {"logits/kernel": (hidden_dim, outputs), "logits/bias": (outputs,)}

    def features(self, config: Mapping[str, Any], outputs: Tensors) -> Any:
        """Return the head's input: by default, every token's vector.

        Args:
            config: As `Adapter.head`.
            outputs: The encoder's outputs.
        """
        return outputs["sequence_output"]

    @abc.abstractmethod
    def logits(self, features: Any, tensors: Tensors, mask: Any) -> Any:
        """Apply the head's linear layers.

        Args:
            features: `[B, d]` if `one_vector`, otherwise `[B, length, d]`.
            tensors: The head's tensors by variable path.
            mask: `[B, length]` int32, 0 for padding.
        """

    @abc.abstractmethod
    def token_outputs(self, logits: Any, labels: Any) -> Tensors:
        """Compute the outputs of a task's signature for tokens.

        Args:
            logits: From `logits`.
            labels: `[C]` strings, the task's labels; a single "" if it has none.
        """

    def text_outputs(self, outputs: Tensors, rows: ServedRows) -> Tensors:
        """Compute the outputs of a task's signature for texts, `[B, ...]` each.

        Args:
            outputs: From `token_outputs`.
            rows: The rows.
        """
        return outputs

    @abc.abstractmethod
    def mixed_outputs(self, rows: RowsOfTasks) -> Tensors:
        """Compute this kind's outputs in a batch of many tasks, `[B, ...]` each.

        All servables have the outputs `label`, `labels`, `probabilities`, `score`,
        `answer`, `answer_start` and `answer_end`; they take only this kind's rows from
        here. Other outputs exist only in servables with tasks of this kind; rows of
        other kinds must then hold a blank: "", 0, or -1 for integers.
        """

    @abc.abstractmethod
    def served_record(
        self, task: Task, outputs: Mapping[str, Any], row: tuple[str, ...], row_id: Any
    ) -> dict[str, Any]:
        """Build the record of one row, as in `records`, from a signature's outputs.

        Args:
            task: The task.
            outputs: The row's outputs of the task's signature for texts.
            row: The row's texts; see `Rows.iterate_texts`.
            row_id: The row's id, if rows have ids.
        """

    def example_rows(
        self, short: str, long: str, num_texts: int
    ) -> list[tuple[str, ...]]:
        """Return a short and a long example row, for warm-up and clients.

        Args:
            short: A short text about a film.
            long: A long text about two sisters in a film.
            num_texts: Number of texts per row.
        """
        rows = (short, "A film with good actors."), (long, short)
        return [(a, *[b] * (num_texts - 1)) for a, b in rows]
