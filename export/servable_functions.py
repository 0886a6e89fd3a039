"""The functions behind a servable's signatures."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from adapters_tf.adapters.base import TaskForm
from adapters_tf.adapters.joined import take
from adapters_tf.export.bank import BankLayout, hidden_features
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.task_table import TaskTable
from adapters_tf.export.task_tensors import NORM
from adapters_tf.export.text_tokens import clean_utf8
from adapters_tf.models.question_windows import LOWEST_SCORE
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.tasks.text_kind import BIAS, KERNEL


class ServableFunctions:
    """The functions of all tasks of a servable, on tokens and on texts.

    Functions with a `task` argument are traced once and serve all tasks.

    Args:
        base: A loaded base SavedModel.
        preprocessor: Its loaded preprocessor.
        bank: `build_bank`, as variables or tensors.
        table: Constants of the bank's tasks.
        layout: The layout of the base.
        forms: The forms in which the bank holds the tasks' adapters.

    Attributes:
        preprocessor: The preprocessor.
    """

    def __init__(
        self,
        base: Any,
        preprocessor: Any,
        bank: dict[str, Any],
        table: TaskTable,
        layout: BankLayout,
        forms: Sequence[TaskForm],
    ) -> None:
        self._base = base
        self.preprocessor = preprocessor
        self._bank = bank
        self._layout = layout
        self._forms = forms
        self._table = table

    # === One task for all rows ===

    def encode(self, inputs: dict[str, Any], task: Any) -> dict[str, Any]:
        """Run the base with the tensors of one task; see the base's `encode`."""
        bank, layout = self._bank, self._layout
        tensors = {"fingerprint": tf.convert_to_tensor(bank["fingerprint"])}
        for form in self._forms:
            tensors |= take(bank, task, form, layout.block_paths, layout.hidden_dim)
        for path in layout.norm_paths:
            row = tf.gather(bank[f"{path}/row"], task)
            for name in NORM:
                rows = bank[f"{path}/{name}"][row : row + tf.minimum(row, 1)]
                tensors[f"{path}/{name}"] = tf.reshape(rows, [-1])
        return self._base.encode(inputs, tensors, training=False)

    def on_tokens(self, kind: str) -> Any:
        """Return a kind's function of tokens and one `task`."""
        about = kind_named(kind)

        def run(inputs: dict[str, Any], task: Any) -> dict[str, Any]:
            outputs = self.encode(inputs, task)
            features = outputs["sequence_output"]
            if about.one_vector:
                features = self._table.features(outputs, task)
                features = hidden_features(self._bank, features, task)
            tensors = self._head_tensors(task)
            logits = about.logits(features, tensors, outputs["input_mask"])
            return about.token_outputs(logits, self._table.labels(task))

        return run

    def on_texts(self, kind: str, text: Any, text_pair: Any, task: Any) -> Any:
        """Compute the outputs of one task for texts; see `Kind.text_outputs`.

        Args:
            kind: The task's kind.
            text: `[B]` strings; questions, for question answering.
            text_pair: `[B]` strings: second texts or contexts; ignored if the task has
                one text.
            task: Scalar int32.
        """
        tasks = tf.fill(tf.shape(text), task)
        windows = self.windows(text, text_pair, tasks, tf.fill(tf.shape(text), True))
        outputs = self.on_tokens(kind)(encoder_inputs(windows), task)
        rows = TextRows(self.preprocessor, windows, text, text_pair)
        return kind_named(kind).text_outputs(outputs, rows)

    # === Parts of both ===

    def windows(self, text: Any, text_pair: Any, tasks: Any, known: Any) -> Any:
        """Return the preprocessor's windows of rows.

        Args:
            text: `[B]` strings.
            text_pair: `[B]` strings.
            tasks: `[B]` int32.
            known: `[B]` bool: whether to run a task on the row.
        """
        table = self._table
        inputs = {
            "text": text,
            "text_pair": text_pair,
            "has_pair": tf.gather(table.has_pair, tasks) & known,
            "is_question": tf.gather(table.is_question, tasks) & known,
            # Use the shortest length for rows without a task to run.
            "seq_lengths": tf.where(known, tf.gather(table.seq_length, tasks), 2),
        }
        if not table.needs_all_windows:
            return self.preprocessor.windows(inputs)
        inputs["is_words"] = tf.gather(table.is_words, tasks) & known
        inputs["is_list"] = tf.gather(table.is_list, tasks) & known
        return self.preprocessor.all_windows(inputs)

    def _span(self, path: str, task: Any) -> slice:
        start = tf.gather(self._bank[f"{path}/offset"], task)
        return slice(start, start + tf.gather(self._bank[f"{path}/size"], task))

    def _head_tensors(self, task: Any) -> dict[str, Any]:
        """Return the tensors of one task's head by variable path."""
        units = self._span("head", task)
        return {
            KERNEL: tf.transpose(self._bank["head/kernel"][units]),
            BIAS: self._bank["head/bias"][units],
        }


class TextRows:
    """Rows of texts with their windows, for `Kind.text_outputs`.

    Args:
        preprocessor: A base's loaded preprocessor.
        windows: The preprocessor's windows of the rows.
        text: `[B]` strings.
        text_pair: `[B]` strings.
    """

    def __init__(
        self, preprocessor: Any, windows: dict[str, Any], text: Any, text_pair: Any
    ) -> None:
        self.windows = windows
        self.text_pair = text_pair
        self.preprocessor = preprocessor
        self._text = text

    @property
    def text(self) -> Any:
        """`[B]` strings of valid UTF-8."""
        return clean_utf8(self._text)

    def answers(self, spans: dict[str, Any], windows: dict[str, Any]) -> dict[str, Any]:
        """Return the best answers `[B]` from the windows' span logits."""
        places = {name: windows[name] for name in ("rows", "starts", "ends")}
        answers = self.preprocessor.answers(
            {**spans, **places, "context": self.text_pair}
        )
        return {**answers, "score": tf.maximum(answers["score"], LOWEST_SCORE)}


def encoder_inputs(windows: dict[str, Any]) -> dict[str, Any]:
    """Select the entries of windows that the encoder reads."""
    return {name: windows[name] for name in INPUTS}
