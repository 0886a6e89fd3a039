"""What a kind of task provides: from the columns of a file to a served answer."""

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

# How the preprocessor of a servable lays out a row: one text or more side by side;
# windows over the second text beside the first; one text whose words stay whole.
Layout = Literal["texts", "question", "words"]

Tensors = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Rows beside their tokens.

    Attributes:
        examples: The rows.
        tokens: Their tokens; for questions, those of the windows.
        places: Where the tokens are from in the rows, for kinds that need it to
            read a model's outputs.
        features: What the model reads: `tokens`, or the rows' hidden states under
            blocks of the model, which have the same interface.
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
        windows: The encoder's inputs by name, `[W, length]` int32 each, with `rows`
            `[W]`, the row that each is of, and `starts` and `ends` `[W, length]`, the
            place of each token's piece in the text. W is B but for questions.
    """

    @property
    def text(self) -> Any: ...

    @property
    def text_pair(self) -> Any: ...

    @property
    def windows(self) -> Tensors: ...

    def answers(self, spans: Tensors, windows: Tensors) -> Tensors:
        """The best answer of each row out of start and end logits of windows."""
        ...


class RowsOfTasks(ServedRows, Protocol):
    """Rows of many tasks inside the graph of a servable: those of `mixed_text`.

    Attributes:
        num_classes: Width of `labels` and `probabilities`, in Python: the most
            classes or outputs of a task with one vector per text.
    """

    @property
    def num_classes(self) -> int: ...

    def wanted(self, kind: str) -> Any:
        """`[B]` bool: the rows of a known task of this kind."""
        ...

    @property
    def first_windows(self) -> Any:
        """`[B]` int32: each row's first window."""
        ...

    @property
    def logits(self) -> tuple[Any, Any]:
        """`[B, num_classes]` bool and float32: which are of the task, and the logits.

        Of rows whose task has one vector per text.
        """
        ...

    def token_logits(self, windows: Any, most: int) -> tuple[Any, Any]:
        """The outputs of some windows' tokens.

        Args:
            windows: `[V]` int32 indices of windows.
            most: The most outputs of a task that these are of.

        Returns:
            `[V, most]` bool, what is an output of the window's task, and its logits
            `[V, length, most]`.
        """
        ...

    def labels(self, most: int) -> Any:
        """`[B, most]` strings: the task's classes, "" behind the last one."""
        ...

    def most_outputs(self, kind: str) -> int:
        """The largest number of outputs of a task of this kind, in Python."""
        ...


class Kind(abc.ABC):
    """Everything that the library knows of one kind of task.

    A new kind is one module with a subclass and, in `adapters_tf.tasks.kinds`, one
    line. `TextKind` has what kinds with one output vector per text share. Everything
    below "SavedModels" is TensorFlow inside of graphs; import it in the methods.

    Attributes:
        name: Name of the kind, as adapter files have it.
        label_kind: The value of `--label_kind` that asks for it; `None` for a kind
            whose files cannot be of another one.
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

        Of the first one, which selects the best epoch, more must be better.
        """
        return self.model_class.facts.metrics

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Names of a task's columns if none are given."""
        return self.model_class.facts.text_columns

    # === Files ===

    @abc.abstractmethod
    def recognises(self, file: DataFile) -> bool:
        """Whether a file of training rows is taken for one of this kind.

        The kinds are asked in the order of `kinds()`.
        """

    @abc.abstractmethod
    def new_task(self, name: str, file: DataFile) -> tuple[Task, Rows]:
        """A task with its training rows.

        Args:
            name: Name of the task.
            file: The training rows.

        Raises:
            DataError: The file or its labels are not usable.
        """

    @abc.abstractmethod
    def read(self, file: DataFile, task: Task, require_labels: bool = False) -> Rows:
        """Rows for a task that exists.

        Args:
            file: The rows.
            task: The task, whose labels and number of texts the file must fit.
            require_labels: Whether all rows must have labels; else it depends on the
                file and its format.

        Raises:
            DataError: The file or its labels are not usable for the task.
        """

    @abc.abstractmethod
    def stream(self, file: DataFile, task: Task) -> RowStream | WholeRows:
        """The unlabelled rows of a file, some at a time.

        Raises:
            DataError: The file is not usable for the task.
        """

    def split(
        self, rows: Rows, fraction: float, seed: int, path: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Split development rows off the training rows.

        Args:
            rows: The labelled rows.
            fraction: Share of the different rows in the development part.
            seed: Seed of the choice.
            path: Where the rows are from, for messages.

        Returns:
            The indices of both parts, see `split_groups`.
        """
        # scikit-learn is for training alone.
        from adapters_tf.data.splits import split_groups

        return split_groups(self.groups(rows), self.strata(rows), fraction, seed)

    @abc.abstractmethod
    def groups(self, rows: Rows) -> Sequence[Any]:
        """What rows have in common that must be in the same part of a split."""

    def strata(self, rows: Rows) -> np.ndarray | None:
        """`[N]` classes whose shares both parts of a split keep, or `None`."""
        return None

    # === Model and predictions ===

    @abc.abstractmethod
    def head_arguments(self, task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the Keras model's head for a task.

        Args:
            task: The task.
            options: A run's own: `head_input`, `dropout`, `hidden_layer`.
        """

    @abc.abstractmethod
    def prepare(self, rows: Rows, preprocessor: Any) -> Prepared:
        """Tokenise rows."""

    @abc.abstractmethod
    def note(self, prepared: Prepared, seq_length: int) -> str:
        """What a person should know of the tokens of rows, such as how many are cut."""

    @abc.abstractmethod
    def records(
        self, task: Task, outputs: Sequence[Any], prepared: Prepared
    ) -> list[dict[str, Any]]:
        """One JSON-like record a row, in the order of the rows.

        Args:
            task: The task.
            outputs: The model's outputs for `prepared.features`.
            prepared: The rows.
        """

    # === Metrics ===

    @abc.abstractmethod
    def predictions(self, task: Task, records: Sequence[Mapping[str, Any]]) -> Any:
        """What `scores` takes as predictions, out of `records`."""

    @abc.abstractmethod
    def scores(self, task: Task, predictions: Any, references: Any) -> dict[str, float]:
        """All metrics of this kind by name; see `compute_metrics`.

        Raises:
            ValueError: The shapes or ids do not match, or references are missing.
        """

    @abc.abstractmethod
    def majority(self, task: Task, train: Any, dev: Any) -> Any:
        """The best predictions that ignore the texts, of references of both parts."""

    def confusion(
        self, task: Task, predictions: Any, references: Any
    ) -> dict[str, Any] | None:
        """Which classes were confused, as JSON values; `None` without classes."""
        return None

    # === SavedModels ===

    def head_function(
        self, config: Mapping[str, Any]
    ) -> Callable[[Tensors, Tensors], Any]:
        """The head of an adapter SavedModel.

        Args:
            config: As `Adapter.head`.

        Returns:
            A function of the encoder's outputs (`sequence_output`, `pooled_output`,
            `input_mask`) and the head's tensors by variable path that returns what the
            Keras model returns.
        """
        return lambda outputs, tensors: self.logits(
            self.features(config, outputs), tensors, outputs["input_mask"]
        )

    @abc.abstractmethod
    def num_outputs(self, config: Mapping[str, Any]) -> int:
        """The width of the head.

        Args:
            config: As `Adapter.head`.
        """

    def head_shapes(
        self, config: Mapping[str, Any], hidden_dim: int
    ) -> dict[str, tuple[int, ...]]:
        """Variable path -> shape of the head's tensors: one linear layer's.

        Args:
            config: As `Adapter.head`.
            hidden_dim: Hidden size `d` of the base.
        """
        outputs = self.num_outputs(config)
        return {"logits/kernel": (hidden_dim, outputs), "logits/bias": (outputs,)}

    def features(self, config: Mapping[str, Any], outputs: Tensors) -> Any:
        """What the head reads: every token's vector, if no other `config` is known.

        Args:
            config: As `Adapter.head`.
            outputs: Those of the encoder.
        """
        return outputs["sequence_output"]

    @abc.abstractmethod
    def logits(self, features: Any, tensors: Tensors, mask: Any) -> Any:
        """The head's linear layers.

        Args:
            features: `[B, d]` where `one_vector`, else `[B, length, d]`.
            tensors: The head's tensors by variable path.
            mask: `[B, length]` int32, 0 for padding.
        """

    @abc.abstractmethod
    def token_outputs(self, logits: Any, labels: Any) -> Tensors:
        """The outputs of a task's signature that takes tokens.

        Args:
            logits: From `logits`.
            labels: `[C]` strings, the task's labels; one "" without.
        """

    def text_outputs(self, outputs: Tensors, rows: ServedRows) -> Tensors:
        """The outputs of a task's signature that takes texts: `[B, ...]` each.

        Args:
            outputs: From `token_outputs`.
            rows: The rows.
        """
        return outputs

    @abc.abstractmethod
    def mixed_outputs(self, rows: RowsOfTasks) -> Tensors:
        """This kind's outputs in a batch of many tasks, `[B, ...]` each.

        Outputs that every servable has (`label`, `labels`, `probabilities`, `score`,
        `answer`, `answer_start` and `answer_end`) are read for this kind's rows alone.
        Others are part of servables with tasks of this kind; their other rows hold a
        blank: "", 0, or -1 for integers.
        """

    @abc.abstractmethod
    def served_record(
        self, task: Task, outputs: Mapping[str, Any], row: tuple[str, ...], row_id: Any
    ) -> dict[str, Any]:
        """The record of one row, as in `records`, out of a signature's outputs.

        Args:
            task: The task.
            outputs: The row's outputs of the task's signature of texts.
            row: The row's texts, see `Rows.iterate_texts`.
            row_id: Its id, where rows have any.
        """

    def example_rows(
        self, short: str, long: str, num_texts: int
    ) -> list[tuple[str, ...]]:
        """A short and a long row, as clients may send them, for warm-up and examples.

        Args:
            short: A short text on a film.
            long: A long one, on two sisters in a film.
            num_texts: How many texts a row has.
        """
        rows = (short, "A film with good actors."), (long, short)
        return [(a, *[b] * (num_texts - 1)) for a, b in rows]
