"""Constants of a servable's tasks, by task index."""

from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.export.bank import ExportedTask
from adapters_tf.tasks.kinds import kind_named, kinds
from adapters_tf.tasks.text_kind import BIAS, head_features


def takes_pair(config: dict[str, Any]) -> bool:
    """Whether a task's rows have two or more texts."""
    question = kind_named(config["kind"]).layout == "question"
    return question or num_texts(config) >= 2


def num_texts(config: dict[str, Any]) -> int:
    """Return the number of a task's text columns."""
    return len(config["task"].get("text_columns", ()))


class TaskTable:
    """Constants `[T]`, one for each task.

    Args:
        tasks: T tasks.

    Attributes:
        kinds: The kinds of the tasks (Python objects).
        kind: Index of the task's kind in `kinds`, int32.
        kind_name: Name of the task's kind, strings.
        has_pair: Whether rows have two texts or more, bool.
        is_list: Whether rows have more than two, bool.
        is_question: Whether rows are laid out as questions, bool.
        is_words: Whether rows are tokenised word by word, bool.
        seq_length: Longest input in tokens, int32.
        num_classes: The largest number of classes or outputs among tasks on one vector
            (a Python integer).
        needs_all_windows: Whether there are tasks on words, or with more than two texts
            (a Python Boolean).
    """

    def __init__(self, tasks: list[ExportedTask]) -> None:
        configs = [task.config for task in tasks]
        names = [config["kind"] for config in configs]
        of_task = [kind_named(name) for name in names]
        self.kinds = [kind for name, kind in kinds().items() if name in names]
        self.kind = tf.constant([self.kinds.index(kind) for kind in of_task])
        self.kind_name = tf.constant(names)
        self.has_pair = tf.constant([takes_pair(config) for config in configs])
        more = [num_texts(config) > 2 for config in configs]
        self.is_list = tf.constant(more)
        self.is_question = tf.constant([k.layout == "question" for k in of_task])
        is_words = [kind.layout == "words" for kind in of_task]
        self.is_words = tf.constant(is_words)
        self.needs_all_windows = any(is_words) or any(more)
        self.seq_length = tf.constant([c["seq_length"] for c in configs], tf.int32)
        outputs = [task.head[BIAS].size for task in tasks]
        labels = [
            list(config["task"].get("labels") or [""] * size)
            for config, size in zip(configs, outputs, strict=True)
        ]
        # Label 0 belongs to no task.
        self._labels = tf.constant(["", *(name for own in labels for name in own)])
        counts = np.array([len(own) for own in labels], np.int32)
        self._num_labels = tf.constant(counts)
        self._first_label = tf.constant(1 + np.cumsum(counts, dtype=np.int32) - counts)
        widths = zip(of_task, outputs, counts.tolist(), strict=True)
        self.num_classes = max(
            (max(size, count) for kind, size, count in widths if kind.one_vector),
            default=1,
        )
        self._most_outputs = {
            kind: max(n for n, k in zip(outputs, of_task, strict=True) if k is kind)
            for kind in self.kinds
        }
        heads = [config["head"].get("head_input", "cls") for config in configs]
        self._head_inputs = sorted(set(heads))
        self._head_input = tf.constant([self._head_inputs.index(h) for h in heads])

    def most_outputs(self, kind: str) -> int:
        """Return the largest number of outputs among tasks of this kind, as an int."""
        return self._most_outputs[kind_named(kind)]

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
