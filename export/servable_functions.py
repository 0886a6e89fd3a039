"""The functions behind a servable's signatures."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from adapters_tf.adapters.base import TaskForm
from adapters_tf.adapters.joined import take
from adapters_tf.export.bank import BankLayout, hidden_features
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.heads import BIAS, KERNEL, span_logits, tag_logits
from adapters_tf.export.task_table import KINDS, TaskTable
from adapters_tf.export.task_tensors import NORM
from adapters_tf.export.word_tags import word_tags

# In REST's JSON there is no infinity.
LOWEST_SCORE = -1e9


class ServableFunctions:
    """Every task of a servable, by index, on tokens and on texts.

    The functions that take one `task` are traced once and serve all tasks.

    Args:
        base: A loaded base SavedModel.
        preprocessor: Its loaded preprocessor.
        bank: `build_bank`, as variables or tensors.
        table: What is known of the bank's tasks.
        layout: That of the base.
        forms: How the bank holds the tasks' adapters.
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
        self._preprocessor = preprocessor
        self._bank = bank
        self._layout = layout
        self._forms = forms
        self._table = table

    # === One task for all rows ===

    def encode(self, inputs: dict[str, Any], task: Any) -> dict[str, Any]:
        """The base with the tensors of one task: see `encode` of the base."""
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

    def classify(self, inputs: dict[str, Any], task: Any) -> dict[str, Any]:
        """`label` `[B]`, `labels` and `probabilities` `[B, C]` of one task."""
        span = self._span("head", task)
        logits = self._text_logits(self.encode(inputs, task), task, span)
        labels = tf.broadcast_to(self._table.labels[span][None, :], tf.shape(logits))
        best = tf.argmax(logits, axis=1)
        return {
            "label": tf.gather(labels, best, batch_dims=1),
            "labels": labels,
            "probabilities": tf.nn.softmax(logits),
        }

    def label_set(self, inputs: dict[str, Any], task: Any) -> dict[str, Any]:
        """`labels` and `probabilities` `[B, C]` of one task, each by itself."""
        span = self._span("head", task)
        logits = self._text_logits(self.encode(inputs, task), task, span)
        labels = tf.broadcast_to(self._table.labels[span][None, :], tf.shape(logits))
        return {"labels": labels, "probabilities": tf.sigmoid(logits)}

    def score(self, inputs: dict[str, Any], task: Any) -> dict[str, Any]:
        """`score` `[B]` of one task."""
        outputs = self.encode(inputs, task)
        logits = self._text_logits(outputs, task, self._span("head", task))
        return {"score": logits[:, 0]}

    def spans(self, inputs: dict[str, Any], task: Any) -> dict[str, Any]:
        """`start_logits` and `end_logits` `[B, length]` of one task."""
        weights = self._head_weights(task)
        logits = span_logits(self.encode(inputs, task), weights)
        return {"start_logits": logits[:, :, 0], "end_logits": logits[:, :, 1]}

    def tag(self, inputs: dict[str, Any], task: Any) -> dict[str, Any]:
        """`labels` `[B, C]` and `probabilities` `[B, length, C]` of one task."""
        logits = tag_logits(self.encode(inputs, task), self._head_weights(task))
        labels = self._table.labels[self._span("head", task)][None, :]
        shape = [tf.shape(logits)[0], tf.shape(logits)[2]]
        return {
            "labels": tf.broadcast_to(labels, shape),
            "probabilities": tf.nn.softmax(logits),
        }

    def on_tokens(self, kind: str) -> Any:
        """The function of tokens for a kind of task."""
        functions = (self.classify, self.score, self.spans, self.label_set, self.tag)
        return dict(zip(KINDS, functions, strict=True))[kind]

    def on_texts(self, kind: str, text: Any, text_pair: Any, task: Any) -> Any:
        """The outputs of one task for texts: as `on_tokens`, or answers or words.

        Args:
            kind: The task's kind.
            text: `[B]` strings; questions, for question answering.
            text_pair: `[B]` strings: second texts or contexts; not read where the
                task has one text.
            task: Scalar int32.
        """
        tasks = tf.fill(tf.shape(text), task)
        windows = self.windows(text, text_pair, tasks, tf.fill(tf.shape(text), True))
        outputs = self.on_tokens(kind)(encoder_inputs(windows), task)
        if kind == "token_classification":
            return tagged_words(outputs, windows, text)
        if kind != "question_answering":
            return outputs
        return self.answers(outputs, windows, text_pair)

    # === Parts of both ===

    def windows(self, text: Any, text_pair: Any, tasks: Any, known: Any) -> Any:
        """The preprocessor's windows of rows.

        Args:
            text: `[B]` strings.
            text_pair: `[B]` strings.
            tasks: `[B]` int32.
            known: `[B]` bool: whether a task is to be run on the row at all.
        """
        table = self._table
        inputs = {
            "text": text,
            "text_pair": text_pair,
            "has_pair": tf.gather(table.has_pair, tasks) & known,
            "is_question": tf.gather(table.is_question, tasks) & known,
            # The shortest there is, for rows that no task is run on.
            "seq_lengths": tf.where(known, tf.gather(table.seq_length, tasks), 2),
        }
        if not table.needs_all_windows:
            return self._preprocessor.windows(inputs)
        inputs["is_words"] = tf.gather(table.is_words, tasks) & known
        inputs["is_list"] = tf.gather(table.is_list, tasks) & known
        return self._preprocessor.all_windows(inputs)

    def answers(self, spans: dict[str, Any], windows: Any, context: Any) -> Any:
        """The best answers `[B]` out of logits of windows."""
        places = {name: windows[name] for name in ("rows", "starts", "ends")}
        answers = self._preprocessor.answers({**spans, **places, "context": context})
        return {**answers, "score": tf.maximum(answers["score"], LOWEST_SCORE)}

    def _span(self, path: str, task: Any) -> slice:
        start = tf.gather(self._bank[f"{path}/offset"], task)
        return slice(start, start + tf.gather(self._bank[f"{path}/size"], task))

    def _head_weights(self, task: Any) -> dict[str, Any]:
        units = self._span("head", task)
        return {
            KERNEL: tf.transpose(self._bank["head/kernel"][units]),
            BIAS: self._bank["head/bias"][units],
        }

    def _text_logits(self, outputs: dict[str, Any], task: Any, units: slice) -> Any:
        features = self._table.features(outputs, task)
        features = hidden_features(self._bank, features, task)
        kernel = self._bank["head/kernel"][units]
        logits = tf.matmul(features, kernel, transpose_b=True)
        return logits + self._bank["head/bias"][units]


def tagged_words(
    outputs: dict[str, Any], windows: dict[str, Any], text: Any
) -> dict[str, Any]:
    """`WordTags` by name, of rows of one window each.

    Args:
        outputs: `labels` `[B, C]` and `probabilities` `[B, length, C]`.
        windows: `starts` and `ends`.
        text: `[B]` strings.
    """
    best = tf.argmax(outputs["probabilities"], axis=2)
    tags = tf.gather(outputs["labels"], best, batch_dims=1)
    scores = tf.reduce_max(outputs["probabilities"], axis=2)
    return word_tags(tags, scores, windows["starts"], windows["ends"], text)._asdict()


def encoder_inputs(windows: dict[str, Any]) -> dict[str, Any]:
    """Those entries of windows that the encoder reads."""
    return {name: windows[name] for name in INPUTS}
