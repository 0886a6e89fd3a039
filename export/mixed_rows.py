"""Run a batch whose rows belong to different tasks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from adapters_tf.export.bank import hidden_features
from adapters_tf.export.servable_functions import (
    TaskTable,
    TextRows,
    encoder_inputs,
    windows_of,
)
from adapters_tf.tasks.text_kind import head_features

# The values of `status`: the row's task was run, or why not.
OK, NO_TASK, UNKNOWN_TASK = "ok", "no task", "unknown task"
INVALID_NAME, DAMAGED_TASK = "invalid task name", "damaged task"
OTHER_BASE, UNSUPPORTED_TASK = "task of another base", "unsupported task"
# The outputs of every servable, with their blank values for rows of other kinds.
BLANKS: dict[str, str | int | float] = {
    "label": "",
    "labels": "",
    "probabilities": 0.0,
    "score": 0.0,
    "answer": "",
    "answer_start": -1,
    "answer_end": -1,
}
# The outputs with `num_classes` columns.
OF_CLASSES = ("labels", "probabilities")


class FoundTasks(NamedTuple):
    """The tasks of a batch of B rows.

    Attributes:
        bank: The tasks' tensors; see `adapters_tf.export.bank`.
        table: Facts about them.
        tasks: `[B]` int32: each row's task; for others any task, or, if they get the
            base's embedding, a blank one.
        known: `[B]` bool: whether the row's task can be run.
        status: `[B]` strings: `OK`, or why not.
    """

    bank: dict[str, Any]
    table: TaskTable
    tasks: Any
    known: Any
    status: Any


class BankTasks:
    """The tasks of a servable that holds them in a bank.

    Args:
        bank: `build_bank`, as variables.
        table: Facts about its tasks.
        lookup: Table from a task's name to its index, -1 for other names.
        blank: The index for other names.
    """

    def __init__(
        self, bank: dict[str, Any], table: TaskTable, lookup: Any, blank: int
    ) -> None:
        self._bank = bank
        self._table = table
        self._lookup = lookup
        self._blank = blank

    def find(self, task: Any) -> FoundTasks:
        """Look up the tasks of a batch.

        Args:
            task: `[B]` names of tasks, or any other strings.
        """
        index = self._lookup.lookup(task)
        known = index >= 0
        status = tf.where(tf.equal(task, ""), NO_TASK, UNKNOWN_TASK)
        return FoundTasks(
            self._bank,
            self._table,
            tf.where(known, index, self._blank),
            known,
            tf.where(known, OK, status),
        )


class Embedding(NamedTuple):
    """What rows without a task get.

    Attributes:
        source: "cls", "pooled" or "mean"; see `head_features`.
        seq_length: Tokens to which their texts are cut.
    """

    source: str
    seq_length: int


class MixedRows:
    """The function of `mixed_text`.

    Args:
        base: The loaded base SavedModel.
        preprocessor: Its loaded preprocessor.
        find: Function from the names of a batch's tasks to the tasks.
        embedding: What rows without a task get, if anything.
    """

    def __init__(
        self,
        base: Any,
        preprocessor: Any,
        find: Callable[[Any], FoundTasks],
        embedding: Embedding | None = None,
    ) -> None:
        self._base = base
        self._preprocessor = preprocessor
        self._find = find
        self._embedding = embedding

    def __call__(self, text: Any, text_pair: Any, task: Any) -> dict[str, Any]:
        """Compute the outputs of each row; see docs/export.md.

        Args:
            text: `[B]` strings.
            text_pair: `[B]` strings, "" if the row's task has one text.
            task: `[B]` names of tasks.
        """
        bank, table, tasks, known, status = self._find(task)
        # Rows without a task are cut to the shortest length.
        length = tf.where(known, tf.gather(table.seq_length, tasks), 2)
        embedded = tf.equal(status, NO_TASK)
        if self._embedding:
            length = tf.where(embedded, self._embedding.seq_length, length)
        windows = windows_of(
            self._preprocessor, table, text, text_pair, tasks, known, length
        )
        of_encoder = {
            key: tf.convert_to_tensor(value)
            for key, value in bank.items()
            if not key.startswith("head/")
        }
        encoded = self._base.encode_rows(
            encoder_inputs(windows), of_encoder, tf.gather(tasks, windows["rows"])
        )
        texts = TextRows(self._preprocessor, windows, text, text_pair)
        rows = _Batch(texts, encoded, bank, table, tasks, known)
        results: dict[str, Any] = {}
        for kind in table.kinds:
            for name, value in kind.mixed_outputs(rows).items():
                if name in BLANKS:
                    wanted = rows.wanted(kind.name)
                    if name in OF_CLASSES:
                        wanted = wanted[:, None]
                    value = tf.where(wanted, value, results.get(name, BLANKS[name]))
                results[name] = value
        for name, blank in BLANKS.items():
            width = [rows.num_classes] if name in OF_CLASSES else []
            if name not in results:
                results[name] = tf.fill([tf.size(text), *width], blank)
        kind = tf.where(known, tf.gather(table.kind_name, tasks), "")
        if self._embedding:
            features = rows.features(self._embedding.source)
            results["embedding"] = tf.where(embedded[:, None], features, 0.0)
            kind = tf.where(embedded, "embedding", kind)
            status = tf.where(embedded, OK, status)
        return {**results, "kind": kind, "status": status}


class _Batch:
    """The encoded rows of a batch; see `adapters_tf.tasks.base.RowsOfTasks`.

    Args:
        texts: The rows.
        encoded: Outputs of the encoder for the windows.
        bank: As in `ServableFunctions`.
        table: Facts about the tasks.
        tasks: `[B]` int32.
        known: `[B]` bool: whether the row's task exists.
    """

    def __init__(
        self,
        texts: TextRows,
        encoded: dict[str, Any],
        bank: dict[str, Any],
        table: TaskTable,
        tasks: Any,
        known: Any,
    ) -> None:
        self.windows = texts.windows
        self.text_pair = texts.text_pair
        self.answers = texts.answers
        self._texts = texts
        self.num_classes = table.num_classes
        self.most_outputs = table.most_outputs
        self._encoded = encoded
        self._bank = bank
        self._table = table
        self._tasks = tasks
        kind = tf.gather(table.kind, tasks)
        self._wanted = {
            about.name: known & tf.equal(kind, i) for i, about in enumerate(table.kinds)
        }
        rows = self.windows["rows"]
        # Only questions have more than one window.
        self.first_windows = tf.math.unsorted_segment_min(
            tf.range(tf.size(rows)), rows, tf.size(tasks)
        )
        # Compute this here: tensors of one kind's graph branch are unusable in others.
        if any(about.one_vector for about in table.kinds):
            self.logits = self._text_logits()

    @property
    def text(self) -> Any:
        """`[B]` strings of valid UTF-8."""
        return self._texts.text

    def wanted(self, kind: str) -> Any:
        """Return `[B]` bool: whether a row belongs to a known task of this kind."""
        return self._wanted[kind]

    def labels(self, most: int) -> Any:
        """Return `[B, most]` strings: the task's classes, padded with ""."""
        return self._table.labels_of_rows(self._tasks, most)

    def token_logits(self, windows: Any, most: int) -> tuple[Any, Any]:
        """Compute the outputs of some windows' tokens; see `RowsOfTasks`."""
        tasks = tf.gather(self._tasks, tf.gather(self.windows["rows"], windows))
        inside, units = self._units(tasks, most)
        logits = tf.matmul(
            tf.gather(self._encoded["sequence_output"], windows),
            tf.gather(self._bank["head/kernel"], units),
            transpose_b=True,
        )
        return inside, logits + tf.gather(self._bank["head/bias"], units)[:, None, :]

    def features(self, source: str) -> Any:
        """Return `[B, d]` vectors of the rows; see `head_features`."""
        return head_features(source, self._first_outputs())

    def _first_outputs(self) -> dict[str, Any]:
        """Return the encoder's outputs for each row's first window."""
        first = self.first_windows
        return {name: tf.gather(value, first) for name, value in self._encoded.items()}

    def _text_logits(self) -> tuple[Any, Any]:
        features = self._table.features(self._first_outputs(), self._tasks)
        features = hidden_features(self._bank, features, self._tasks)
        inside, units = self._units(self._tasks, self.num_classes)
        kernel = tf.gather(self._bank["head/kernel"], units)
        logits = tf.einsum("bd,bcd->bc", features, kernel)
        return inside, logits + tf.gather(self._bank["head/bias"], units)

    def _units(self, tasks: Any, most: int) -> tuple[Any, Any]:
        """Return which of `most` places are head outputs, and their bank positions.

        Returns:
            `[B, most]` bool and int32; 0 for places that are not outputs.
        """
        places = tf.range(most)
        inside = places[None, :] < tf.gather(self._bank["head/size"], tasks)[:, None]
        start = tf.gather(self._bank["head/offset"], tasks)
        return inside, tf.where(inside, start[:, None] + places[None, :], 0)
