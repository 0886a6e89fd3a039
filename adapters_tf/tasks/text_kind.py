"""The shared base of kinds of tasks on texts, and how their rows become tokens."""

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras_hub
import numpy as np

from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.data.examples import Examples, Rows, rows_as
from adapters_tf.data.files import DataFile, Table
from adapters_tf.data.row_stream import RowStream
from adapters_tf.data.splits import text_key
from adapters_tf.errors import DataError
from adapters_tf.models.features import Features
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.task import Task
from adapters_tf.models.tokenizers import special_tokens
from adapters_tf.tasks.base import Kind, Prepared, Tensors

# The paths of a head's variables, also in the adapter file.
KERNEL = "logits/kernel"
BIAS = "logits/bias"
HIDDEN_KERNEL = "head_hidden/kernel"
HIDDEN_BIAS = "head_hidden/bias"


class TextKind(Kind):
    """A kind with rows of one or more texts and a head that reads one vector per row.

    A subclass defines how to read labels (`infer_labels`, `encode`), how to interpret
    outputs (`records`, `token_outputs`, `mixed_outputs`) and how to score them.
    """

    one_vector = True

    # === Files ===

    def table(self, file: DataFile) -> Table:
        """Read the columns of a file."""
        return file.table

    def infer_labels(self, file: DataFile) -> tuple[str, ...]:
        """Return the class names of a new task; empty for a kind without classes."""
        return ()

    @abc.abstractmethod
    def encode(self, table: Table, labels: Sequence[str]) -> np.ndarray:
        """Convert a table's labels to `[N, ...]` numbers.

        Raises:
            DataError: if the task does not have a label.
        """

    def check_format(self, file: DataFile, name: str) -> None:
        """Reject columns that rows of this kind do not have.

        Args:
            file: The rows.
            name: Name of the task.

        Raises:
            DataError: if the format describes several labels per row.
        """
        refuse_several_labels(file, name, self)

    def new_task(self, name: str, file: DataFile) -> tuple[Task, Rows]:
        self.check_format(file, name)
        file.require_labels()
        columns, labels = file.format.text_columns, self.infer_labels(file)
        task = Task(name, self.name, columns, labels, self.metrics)
        return task, self._examples(file, task)

    def read(self, file: DataFile, task: Task, require_labels: bool = False) -> Rows:
        check_text_columns(file, task)
        self.check_format(file, task.name)
        if file.has_labels:
            return self._examples(file, task)
        return Examples(file.table.texts)

    def stream(self, file: DataFile, task: Task) -> RowStream:
        check_text_columns(file, task)
        return RowStream(file.path, file.format)

    def _examples(self, file: DataFile, task: Task) -> Examples:
        table = self.table(file)
        return Examples(table.texts, self.encode(table, task.labels))

    def groups(self, rows: Rows) -> Sequence[Any]:
        texts = rows_as(Examples, rows).texts
        return list(zip(*(map(text_key, column) for column in texts), strict=True))

    # === Model and predictions ===

    def head_arguments(self, task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
        classes = {"num_classes": len(task.labels)} if task.labels else {}
        return {**options, **classes}

    def prepare(self, rows: Rows, preprocessor: Any) -> Prepared:
        return Prepared(rows, tokenize(rows_as(Examples, rows), preprocessor))

    def note(self, prepared: Prepared, seq_length: int) -> str:
        cut = prepared.tokens.num_truncated
        return f"{cut:,} truncated to {seq_length} tokens" if cut else "none truncated"

    # === SavedModels ===

    def num_outputs(self, config: Mapping[str, Any]) -> int:
        return config.get("num_classes", 1)

    def head_shapes(
        self, config: Mapping[str, Any], hidden_dim: int
    ) -> dict[str, tuple[int, ...]]:
        shapes = super().head_shapes(config, hidden_dim)
        if config.get("hidden_layer"):
            shapes[HIDDEN_KERNEL] = (hidden_dim, hidden_dim)
            shapes[HIDDEN_BIAS] = (hidden_dim,)
        return shapes

    def features(self, config: Mapping[str, Any], outputs: Tensors) -> Any:
        return head_features(config["head_input"], outputs)

    def logits(self, features: Any, tensors: Tensors, mask: Any) -> Any:
        return linear_layers(features, tensors)


def check_text_columns(file: DataFile, task: Task) -> None:
    """Check that a file has as many text columns as the task.

    Raises:
        DataError: if the numbers differ; names both.
    """
    columns = file.format.text_columns
    if len(columns) != len(task.text_columns):
        raise DataError(
            f"The task {task.name!r} has {len(task.text_columns)} text columns "
            f"({', '.join(task.text_columns)}), and a file for it must have as many. "
            f"Received: {file.path} with text_columns={columns!r}"
        )


def refuse_several_labels(file: DataFile, name: str, kind: Kind) -> None:
    """Reject columns of several labels per row for a task of another kind.

    Raises:
        DataError: if the format has such columns.
    """
    if file.format.for_several_labels:
        raise DataError(
            "label_separator and label_columns are for tasks with several labels a "
            f"row, label_kind='multi'. Received: the task {name!r}, {kind.title}"
        )


def check_same_shape(
    predictions: Any, references: Any, ndim: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Convert predictions and references to arrays of the same shape.

    Args:
        predictions: `[N]`, or `[N, classes]` for `ndim=2`.
        references: The same shape.
        ndim: Their number of dimensions.

    Raises:
        ValueError: if the shapes differ or there are no rows.
    """
    predicted, expected = np.asarray(predictions), np.asarray(references)
    if (
        predicted.shape != expected.shape
        or predicted.ndim != ndim
        or not len(predicted)
    ):
        raise ValueError(
            "Predictions and references must have the same shape "
            f"{'[N]' if ndim == 1 else '[N, classes]'}, with N at least 1. Received: "
            f"{predicted.shape} and {expected.shape}"
        )
    return predicted, expected


# === Inside a TensorFlow graph ===


def head_features(head_input: str, outputs: Tensors) -> Any:
    """Return the `[batch, d]` input of a `TextModel`'s head.

    Args:
        head_input: `"cls"`, `"pooled"` or `"mean"`.
        outputs: `sequence_output`, `pooled_output` and `input_mask`.
    """
    import tensorflow as tf

    if head_input == "pooled":
        return outputs["pooled_output"]
    sequence = outputs["sequence_output"]
    if head_input == "cls":
        return sequence[:, 0, :]
    weights = tf.cast(outputs["input_mask"], sequence.dtype)[:, :, None]
    total = tf.maximum(tf.reduce_sum(weights, axis=1), 1)
    return tf.reduce_sum(sequence * weights, axis=1) / total


def linear_layers(features: Any, tensors: Tensors) -> Any:
    """Apply a head's layers: an optional dense layer with tanh, then the linear one.

    Args:
        features: `[..., d]`.
        tensors: The head's tensors by variable path.

    Returns:
        `[..., outputs]` logits.
    """
    import tensorflow as tf

    if HIDDEN_KERNEL in tensors:
        hidden = tf.matmul(features, tensors[HIDDEN_KERNEL]) + tensors[HIDDEN_BIAS]
        features = tf.tanh(hidden)
    return tf.matmul(features, tensors[KERNEL]) + tensors[BIAS]


def repeat_labels(labels: Any, logits: Any) -> Any:
    """Repeat `[C]` labels to `[B, C]`, one row for each row of `logits`."""
    import tensorflow as tf

    shape = tf.stack([tf.shape(logits)[0], tf.size(labels)])
    return tf.broadcast_to(labels[None, :], shape)


_CHUNK = 1024  # Rows tokenised at a time; limits the padded arrays' memory.


def tokenize(
    examples: Examples, preprocessor: keras_hub.models.TextClassifierPreprocessor
) -> Features:
    """Tokenise rows with keras-hub's preprocessor.

    Args:
        examples: The rows.
        preprocessor: From `load_preprocessor`; its `sequence_length` is the
            longest row.

    Returns:
        The rows' features, in their order, with the examples' labels.

    Raises:
        UserError: if TensorFlow is not Keras's backend.
    """
    require_tensorflow_backend("tokenize")
    import tensorflow as tf

    token_ids, segment_ids, lengths = [], [], []
    num_truncated = 0
    for columns in _chunks(examples.texts):
        texts = tuple(tf.constant(column) for column in columns)
        packed = preprocess_texts(preprocessor, texts if len(texts) > 1 else texts[0])
        mask = packed["padding_mask"].numpy().astype(bool)
        token_ids.append(packed["token_ids"].numpy()[mask])
        if "segment_ids" in packed:
            segment_ids.append(packed["segment_ids"].numpy()[mask])
        lengths.append(mask.sum(axis=1))
        full = np.flatnonzero(lengths[-1] >= preprocessor.sequence_length)
        num_truncated += _count_cut(columns, full, preprocessor)
    return Features(
        token_ids=np.concatenate(token_ids).astype(np.int32),
        segment_ids=np.concatenate(segment_ids).astype(np.int32)
        if segment_ids
        else None,
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        labels=examples.labels,
        num_truncated=num_truncated,
    )


def _chunks(texts: Any) -> Iterator[tuple[list[str], ...]]:
    for start in range(0, len(texts[0]), _CHUNK):
        yield tuple(list(c[start : start + _CHUNK]) for c in texts)


def _count_cut(columns: Any, rows: np.ndarray, preprocessor: Any) -> int:
    """Count the rows, among these full rows, that had more tokens than fit."""
    if not len(rows):
        return 0
    special = special_tokens(preprocessor.tokenizer)
    needed = np.full(len(rows), special.count(len(columns)))
    for column in columns:
        texts = [column[row] for row in rows]
        needed += [len(tokens) for tokens in preprocessor.tokenizer(texts)]
    return int((needed > preprocessor.sequence_length).sum())
