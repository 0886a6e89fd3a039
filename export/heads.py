"""The heads of the task models as functions of tensors."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from adapters_tf.errors import UserError


def head_features(head_input: str, outputs: dict[str, Any]) -> Any:
    """What a text head reads: `[batch, d]`; see `AdapterTextClassifier`.

    Args:
        head_input: `"cls"`, `"pooled"` or `"mean"`.
        outputs: `sequence_output`, `pooled_output` and `input_mask`.
    """
    if head_input == "pooled":
        return outputs["pooled_output"]
    sequence = outputs["sequence_output"]
    if head_input == "cls":
        return sequence[:, 0, :]
    weights = tf.cast(outputs["input_mask"], sequence.dtype)[:, :, None]
    total = tf.maximum(tf.reduce_sum(weights, axis=1), 1)
    return tf.reduce_sum(sequence * weights, axis=1) / total


# The paths of a head's variables, in the adapter file too.
KERNEL = "logits/kernel"
BIAS = "logits/bias"
HIDDEN_KERNEL = "head_hidden/kernel"
HIDDEN_BIAS = "head_hidden/bias"


def tag_logits(outputs: dict[str, Any], weights: dict[str, Any]) -> Any:
    """Logits `[batch, length, classes]` of every token."""
    return tf.matmul(outputs["sequence_output"], weights[KERNEL]) + weights[BIAS]


def span_logits(outputs: dict[str, Any], weights: dict[str, Any]) -> Any:
    """Start and end logits `[batch, length, 2]`, -1e9 for padding."""
    logits = tag_logits(outputs, weights)
    mask = tf.cast(outputs["input_mask"], logits.dtype)[:, :, None]
    return logits * mask - 1e9 * (1 - mask)


def head_function(
    kind: str, head: dict[str, Any]
) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    """The head of a kind of task.

    Args:
        kind: As `Adapter.kind`.
        head: As `Adapter.head`.

    Returns:
        A function of the encoder's outputs and the head's tensors by path that
        returns logits `[batch, classes]`, scores `[batch]` or logits
        `[batch, length, 2]` or `[batch, length, classes]`.
    """
    if kind == "question_answering":
        return span_logits
    if kind == "token_classification":
        return tag_logits

    def text_head(outputs: dict[str, Any], weights: dict[str, Any]) -> Any:
        features = head_features(head["head_input"], outputs)
        if HIDDEN_KERNEL in weights:
            hidden = tf.matmul(features, weights[HIDDEN_KERNEL])
            features = tf.tanh(hidden + weights[HIDDEN_BIAS])
        logits = tf.matmul(features, weights[KERNEL]) + weights[BIAS]
        return logits[:, 0] if kind == "regression" else logits

    if kind in ("classification", "multi_label", "regression"):
        return text_head
    raise UserError(f"There is no exported head for tasks of the kind {kind!r}.")
