"""The functions behind a servable's signatures, and the table of its tasks."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from adapters_tf.adapters.base import TaskForm
from adapters_tf.adapters.joined import take
from adapters_tf.export.bank import BankLayout, ExportedTask, hidden_features
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.task_tensors import NORM
from adapters_tf.export.text_tokens import clean_utf8
from adapters_tf.models.question_windows import LOWEST_SCORE
from adapters_tf.tasks.base import Kind
from adapters_tf.tasks.kinds import kind_named, kinds
from adapters_tf.tasks.text_kind import BIAS, KERNEL, head_features


def takes_pair(config: dict[str, Any]) -> bool:
    """Whether a task's rows have two or more texts."""
    question = kind_named(config["kind"]).layout == "question"
    return question or num_texts(config) >= 2


def num_texts(config: dict[str, Any]) -> int:
    """Return the number of a task's text columns."""
    return len(config["task"].get("text_columns", ()))


class TaskTable:
    """Facts about T tasks, as tensors.

    Args:
        kinds: The kinds of the tasks (Python objects).
        kind: `[T]` int32 indices of the tasks' kinds in `kinds`.
        num_texts: `[T]` int32 numbers of text columns.
        seq_length: `[T]` int32: the longest input in tokens.
        head_inputs: The names of the inputs of heads on one vector.
        head_input: `[T]` int32 indices in `head_inputs`.
        labels: The names of the tasks' classes, task after task; "" for each output of
            a task without classes.
        num_labels: `[T]` int32: how many of `labels` each task has.
        num_classes: The largest number of classes or outputs among tasks on one
            vector, at least 1: an integer or a scalar.
        most_outputs: Kind -> the largest number of outputs among its tasks.
        needs_all_windows: Whether there may be tasks on words, or with more than two
            texts.
    """

    def __init__(
        self,
        kinds: list[Kind],
        kind: Any,
        num_texts: Any,
        seq_length: Any,
        head_inputs: Sequence[str],
        head_input: Any,
        labels: Any,
        num_labels: Any,
        num_classes: Any,
        most_outputs: dict[str, Any],
        needs_all_windows: bool,
    ) -> None:
        layouts = [about.layout for about in kinds]
        self.kinds = kinds
        self.kind = kind
        self.kind_name = tf.gather([about.name for about in kinds], kind)
        self.is_question = tf.gather([each == "question" for each in layouts], kind)
        self.is_words = tf.gather([each == "words" for each in layouts], kind)
        self.has_pair = self.is_question | (num_texts >= 2)
        self.is_list = num_texts > 2
        self.seq_length = seq_length
        self.num_classes = num_classes
        self.needs_all_windows = needs_all_windows
        self._most_outputs = most_outputs
        self._head_inputs = head_inputs
        self._head_input = head_input
        # Label 0 belongs to no task.
        self._labels = tf.concat([[""], labels], 0)
        self._num_labels = num_labels
        self._first_label = 1 + tf.cumsum(num_labels, exclusive=True)

    @classmethod
    def of_tasks(cls, tasks: list[ExportedTask]) -> "TaskTable":
        """Return the table of one task or more, as constants."""
        configs = [task.config for task in tasks]
        names = [config["kind"] for config in configs]
        of_task = [kind_named(name) for name in names]
        own_kinds = [kind for name, kind in kinds().items() if name in names]
        texts = [num_texts(config) for config in configs]
        outputs = [task.head[BIAS].size for task in tasks]
        labels = [
            list(config["task"].get("labels") or [""] * size)
            for config, size in zip(configs, outputs, strict=True)
        ]
        counts = [len(own) for own in labels]
        widths = zip(of_task, outputs, counts, strict=True)
        heads = [config["head"].get("head_input", "cls") for config in configs]
        head_inputs = sorted(set(heads))
        return cls(
            kinds=own_kinds,
            kind=tf.constant([own_kinds.index(kind) for kind in of_task]),
            num_texts=tf.constant(texts),
            seq_length=tf.constant([c["seq_length"] for c in configs], tf.int32),
            head_inputs=head_inputs,
            head_input=tf.constant([head_inputs.index(h) for h in heads]),
            labels=tf.constant([name for own in labels for name in own]),
            num_labels=tf.constant(counts),
            num_classes=max(
                (max(size, count) for kind, size, count in widths if kind.one_vector),
                default=1,
            ),
            most_outputs={
                kind.name: max(
                    n for n, k in zip(outputs, of_task, strict=True) if k is kind
                )
                for kind in own_kinds
            },
            needs_all_windows=max(texts) > 2
            or any(kind.layout == "words" for kind in of_task),
        )

    def most_outputs(self, kind: str) -> int:
        """Return the largest number of outputs among tasks of this kind."""
        return self._most_outputs[kind]

    def labels(self, task: Any) -> Any:
        """Return `[C]` strings: the classes of one task, or "" for each output."""
        first = tf.gather(self._first_label, task)
        return self._labels[first : first + tf.gather(self._num_labels, task)]

    def labels_of_rows(self, tasks: Any, most: int) -> Any:
        """Return `[B, most]` strings: the classes of each row's task, padded with "".

        Args:
            tasks: `[B]` int32.
            most: Width of the result.
        """
        places = tf.range(most)[None, :]
        inside = places < tf.gather(self._num_labels, tasks)[:, None]
        first = tf.gather(self._first_label, tasks)[:, None]
        return tf.gather(self._labels, tf.where(inside, first + places, 0))

    def features(self, outputs: dict[str, Any], tasks: Any) -> Any:
        """Return the `[B, d]` inputs of heads on one vector.

        Args:
            outputs: `sequence_output`, `pooled_output`, `input_mask`.
            tasks: One task's index, or `[B]` indices.
        """
        features = head_features(self._head_inputs[0], outputs)
        code = tf.gather(self._head_input, tasks)
        for other, name in enumerate(self._head_inputs[1:], start=1):
            wanted = tf.reshape(tf.equal(code, other), [-1, 1])
            features = tf.where(wanted, head_features(name, outputs), features)
        return features


class ServableFunctions:
    """The functions of all tasks of a servable, on tokens and on texts.

    Functions with a `task` argument are traced once and serve all tasks.

    Args:
        base: A loaded base SavedModel.
        preprocessor: Its loaded preprocessor.
        bank: `build_bank`, as variables or tensors.
        table: Facts about the bank's tasks.
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
        known = tf.fill(tf.shape(text), True)
        windows = windows_of(
            self.preprocessor,
            self._table,
            text,
            text_pair,
            tasks,
            known,
            tf.gather(self._table.seq_length, tasks),
        )
        outputs = self.on_tokens(kind)(encoder_inputs(windows), task)
        rows = TextRows(self.preprocessor, windows, text, text_pair)
        return kind_named(kind).text_outputs(outputs, rows)

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


def windows_of(
    preprocessor: Any,
    table: TaskTable,
    text: Any,
    text_pair: Any,
    tasks: Any,
    known: Any,
    seq_lengths: Any,
) -> dict[str, Any]:
    """Return the preprocessor's windows of rows.

    Args:
        preprocessor: A base's loaded preprocessor.
        table: Facts about the tasks.
        text: `[B]` strings.
        text_pair: `[B]` strings.
        tasks: `[B]` int32.
        known: `[B]` bool: whether to run a task on the row; others are single texts.
        seq_lengths: `[B]` int32 maximum tokens of rows.
    """
    inputs = {
        "text": text,
        "text_pair": text_pair,
        "has_pair": tf.gather(table.has_pair, tasks) & known,
        "is_question": tf.gather(table.is_question, tasks) & known,
        "seq_lengths": seq_lengths,
    }
    if not table.needs_all_windows:
        return preprocessor.windows(inputs)
    inputs["is_words"] = tf.gather(table.is_words, tasks) & known
    inputs["is_list"] = tf.gather(table.is_list, tasks) & known
    return preprocessor.all_windows(inputs)


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
