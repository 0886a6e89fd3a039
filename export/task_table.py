"""What a servable knows of its tasks, as constants by task index."""

from typing import Any

import tensorflow as tf

from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.heads import BIAS, head_features

KINDS = (
    "classification",
    "regression",
    "question_answering",
    "multi_label",
    "token_classification",
)
# Those whose head reads every token.
TOKEN_KINDS = ("question_answering", "token_classification")


def takes_pair(config: dict[str, Any]) -> bool:
    """Whether a task's rows have two texts, or more."""
    question = config["kind"] == "question_answering"
    return question or num_texts(config) >= 2


def num_texts(config: dict[str, Any]) -> int:
    """How many text columns a task has."""
    return len(config["task"].get("text_columns", ()))


class TaskTable:
    """Constants `[T]`, one for each task.

    Args:
        tasks: T tasks.

    Attributes:
        kinds: Their kinds, in Python.
        kind: Index of the kind in `KINDS`, int32.
        has_pair: Whether rows have two texts or more, bool.
        is_list: Whether rows have more than two, bool.
        is_question: Whether it is question answering, bool.
        is_words: Whether it is tags of words, bool.
        seq_length: Longest input in tokens, int32.
        labels: `[1 + outputs]` strings: the class of each output of the bank's
            heads, "" for what is no class.
        num_classes: The largest number of outputs of a task on one vector.
        needs_all_windows: Whether there are tags of words, or rows of more than two
            texts, in Python.
        num_tags: The largest number of tags of a task; 0 if no task has any.
    """

    def __init__(self, tasks: list[ExportedTask]) -> None:
        configs = [task.config for task in tasks]
        self.kinds = [config["kind"] for config in configs]
        self.kind = tf.constant([KINDS.index(kind) for kind in self.kinds])
        self.has_pair = tf.constant([takes_pair(config) for config in configs])
        more = [num_texts(config) > 2 for config in configs]
        self.is_list = tf.constant(more)
        self.is_question = tf.constant([k == KINDS[2] for k in self.kinds])
        self.is_words = tf.constant([k == KINDS[4] for k in self.kinds])
        self.seq_length = tf.constant([c["seq_length"] for c in configs], tf.int32)
        labels, sizes, tags = [""], [1], [0]
        for task in tasks:
            size = task.head[BIAS].size
            names = task.config["task"].get("labels") or [""] * size
            labels += names
            if task.config["kind"] not in TOKEN_KINDS:
                sizes.append(size)
            if task.config["kind"] == KINDS[4]:
                tags.append(size)
        self.labels = tf.constant(labels)
        self.num_classes, self.num_tags = max(sizes), max(tags)
        self.needs_all_windows = self.num_tags > 0 or any(more)
        heads = [config["head"].get("head_input", "cls") for config in configs]
        self._head_inputs = sorted(set(heads))
        self._head_input = tf.constant([self._head_inputs.index(h) for h in heads])

    def features(self, outputs: dict[str, Any], tasks: Any) -> Any:
        """`[B, d]`: what the heads read.

        Args:
            outputs: `sequence_output`, `pooled_output`, `input_mask`.
            tasks: One task's index, or `[B]` of them.
        """
        features = head_features(self._head_inputs[0], outputs)
        code = tf.gather(self._head_input, tasks)
        for other, name in enumerate(self._head_inputs[1:], start=1):
            wanted = tf.reshape(tf.equal(code, other), [-1, 1])
            features = tf.where(wanted, head_features(name, outputs), features)
        return features
