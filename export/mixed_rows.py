"""One batch whose rows belong to different tasks."""

from typing import Any

import tensorflow as tf

from adapters_tf.export.bank import hidden_features
from adapters_tf.export.servable_functions import (
    ServableFunctions,
    encoder_inputs,
    tagged_words,
)
from adapters_tf.export.task_table import KINDS, TaskTable
from adapters_tf.export.word_tags import WordTags

OK, NO_TASK, UNKNOWN_TASK = "ok", "no task", "unknown task"
# What rows that ask nothing get.
_BLANK = {"answer": "", "answer_start": -1, "answer_end": -1, "score": 0.0}


class MixedRows:
    """The function of `mixed_text`.

    Args:
        functions: The servable's functions.
        base: The loaded base SavedModel.
        bank: As `ServableFunctions`.
        bank_keys: The entries that the base's `encode_rows` takes.
        table: What is known of the tasks.
        lookup: Table from a task's name to its index, -1 for other names.
    """

    def __init__(
        self,
        functions: ServableFunctions,
        base: Any,
        bank: dict[str, Any],
        bank_keys: list[str],
        table: TaskTable,
        lookup: Any,
    ) -> None:
        self._functions = functions
        self._base = base
        self._bank = bank
        self._bank_keys = bank_keys
        self._table = table
        self._lookup = lookup

    def __call__(self, text: Any, text_pair: Any, task: Any) -> dict[str, Any]:
        """Outputs for each row: see docs/export.md.

        Args:
            text: `[B]` strings.
            text_pair: `[B]` strings, "" where the row's task has one text.
            task: `[B]` names of tasks.
        """
        index = self._lookup.lookup(task)
        known = index >= 0
        tasks = tf.maximum(index, 0)
        windows = self._functions.windows(text, text_pair, tasks, known)
        rows = windows["rows"]
        bank = {key: tf.convert_to_tensor(self._bank[key]) for key in self._bank_keys}
        outputs = self._base.encode_rows(
            encoder_inputs(windows), bank, tf.gather(tasks, rows)
        )
        num_rows = tf.size(text)
        # A row's first window: its only one, but for questions.
        first = tf.math.unsorted_segment_min(tf.range(tf.size(rows)), rows, num_rows)
        row_outputs = {name: tf.gather(value, first) for name, value in outputs.items()}
        kind = tf.gather(self._table.kind, tasks)
        is_kind = {name: known & tf.equal(kind, i) for i, name in enumerate(KINDS)}
        results = self._text_outputs(row_outputs, tasks, is_kind)
        is_question = is_kind["question_answering"]
        answers = {name: tf.fill([num_rows], value) for name, value in _BLANK.items()}
        if "question_answering" in self._table.kinds:
            blank = answers
            answers = tf.cond(
                tf.reduce_any(is_question),
                lambda: self._answers(outputs, windows, tasks, is_question, text_pair),
                lambda: blank,
            )
        results["score"] = tf.where(is_question, answers.pop("score"), results["score"])
        if self._table.num_tags:
            answers |= self._words(outputs, windows, first, tasks, is_kind, text)
        status = tf.where(tf.equal(task, ""), NO_TASK, UNKNOWN_TASK)
        return {
            **results,
            **answers,
            "kind": tf.where(known, tf.gather(tf.constant(KINDS), kind), ""),
            "status": tf.where(known, OK, status),
        }

    def _text_outputs(
        self, outputs: dict[str, Any], tasks: Any, is_kind: dict[str, Any]
    ) -> dict[str, Any]:
        bank = self._bank
        features = self._table.features(outputs, tasks)
        features = hidden_features(bank, features, tasks)
        inside, units = self._units(tasks, self._table.num_classes)
        kernel = tf.gather(bank["head/kernel"], units)
        logits = tf.einsum("bd,bcd->bc", features, kernel)
        logits += tf.gather(bank["head/bias"], units)
        probabilities = tf.nn.softmax(tf.where(inside, logits, logits.dtype.min))
        is_class, is_set = is_kind["classification"], is_kind["multi_label"]
        probabilities = tf.where(is_set[:, None], tf.sigmoid(logits), probabilities)
        inside &= (is_class | is_set)[:, None]
        labels = tf.where(inside, tf.gather(self._table.labels, units), "")
        best = tf.argmax(probabilities, axis=1)
        return {
            "label": tf.where(is_class, tf.gather(labels, best, batch_dims=1), ""),
            "labels": labels,
            "probabilities": tf.where(inside, probabilities, 0.0),
            "score": tf.where(is_kind["regression"], logits[:, 0], 0.0),
        }

    def _units(self, tasks: Any, most: int) -> tuple[Any, Any]:
        """Which of `most` places are outputs of each row's head, and where in the bank.

        Returns:
            `[B, most]` bool and int32; 0 where there is none.
        """
        places = tf.range(most)
        inside = places[None, :] < tf.gather(self._bank["head/size"], tasks)[:, None]
        start = tf.gather(self._bank["head/offset"], tasks)
        return inside, tf.where(inside, start[:, None] + places[None, :], 0)

    def _words(
        self,
        outputs: dict[str, Any],
        windows: Any,
        first: Any,
        tasks: Any,
        is_kind: dict[str, Any],
        text: Any,
    ) -> dict[str, Any]:
        wanted = is_kind["token_classification"]

        def found() -> dict[str, Any]:
            inside, units = self._units(tasks, self._table.num_tags)
            logits = tf.einsum(
                "bsd,bcd->bsc",
                tf.gather(outputs["sequence_output"], first),
                tf.gather(self._bank["head/kernel"], units),
            )
            logits += tf.gather(self._bank["head/bias"], units)[:, None, :]
            logits = tf.where(inside[:, None, :], logits, logits.dtype.min)
            probabilities = tf.nn.softmax(logits)
            labels = tf.gather(self._table.labels, units)
            # No token of another row is one of a word.
            starts = tf.where(wanted[:, None], tf.gather(windows["starts"], first), -1)
            places = {"starts": starts, "ends": tf.gather(windows["ends"], first)}
            values = {"labels": labels, "probabilities": probabilities}
            return tagged_words(values, places, text)

        def none() -> dict[str, Any]:
            empty = tf.zeros([tf.size(text), 0], tf.int32)
            return WordTags(
                words=tf.as_string(empty),
                tags=tf.as_string(empty),
                tag_scores=tf.cast(empty, tf.float32),
                word_starts=empty,
                word_ends=empty,
            )._asdict()

        return tf.cond(tf.reduce_any(wanted), found, none)

    def _answers(
        self, outputs: dict[str, Any], windows: Any, tasks: Any, wanted: Any, text: Any
    ) -> dict[str, Any]:
        bank = self._bank
        # Spans are searched in questions' windows alone: it costs most of all.
        chosen = tf.where(tf.gather(wanted, windows["rows"]))[:, 0]
        part = {k: tf.gather(windows[k], chosen) for k in ("rows", "starts", "ends")}
        start = tf.gather(bank["head/offset"], tf.gather(tasks, part["rows"]))
        units = start[:, None] + tf.range(2)[None, :]
        sequence = tf.gather(outputs["sequence_output"], chosen)
        logits = tf.matmul(
            sequence, tf.gather(bank["head/kernel"], units), transpose_b=True
        )
        logits += tf.gather(bank["head/bias"], units)[:, None, :]
        spans = {"start_logits": logits[:, :, 0], "end_logits": logits[:, :, 1]}
        answers = self._functions.answers(spans, part, text)
        return {k: tf.where(wanted, answers[k], v) for k, v in _BLANK.items()}
