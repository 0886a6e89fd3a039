"""Find answers from a model's logits over windows, inside a TF graph."""

from typing import Any, NamedTuple

import tensorflow as tf

from adapters_tf.export.text_tokens import clean_utf8
from adapters_tf.models.question_windows import MAX_ANSWER_TOKENS

_INF = float("inf")


class Answers(NamedTuple):
    """The best answer to each of B questions.

    Attributes:
        answer: `[B]` strings, valid UTF-8.
        answer_start: `[B]` int32: index of the answer's first character in the context,
            in code points as in Python.
        answer_end: `[B]` int32: index after its last character.
        score: `[B]` float32: the sum of the answer's two logits.
    """

    answer: tf.Tensor
    answer_start: tf.Tensor
    answer_end: tf.Tensor
    score: tf.Tensor


def best_spans(
    start_logits: tf.Tensor,
    end_logits: tf.Tensor,
    rows: tf.Tensor,
    num_rows: tf.Tensor | int,
    starts: tf.Tensor,
    ends: tf.Tensor,
    context: tf.Tensor,
) -> Answers:
    """Find the best span of each row's context, over all of its windows.

    As in `QuestionFeatures.answers`, this is the span with the highest sum of start and
    end logits among spans of at most `MAX_ANSWER_TOKENS` tokens. Ties go to the first
    window, then to the first start, then to the first end.

    A row without any span, such as one with an empty context, gets "", 0, 0 and a score
    of minus infinity.

    Args:
        start_logits: `[W, length]` float32.
        end_logits: `[W, length]` float32.
        rows: `[W]` int32, as in `Windows`.
        num_rows: The number of rows B.
        starts: `[W, length]` int32, as in `Windows`.
        ends: `[W, length]` int32, as in `Windows`.
        context: `[B]` strings, from which the windows were made.

    Returns:
        The answers.
    """
    window_score, first, last = _best_in_windows(start_logits, end_logits, starts >= 0)
    # The first window with its row's best score.
    num_windows = tf.size(rows)
    row_score = tf.math.unsorted_segment_max(window_score, rows, num_rows)
    is_best = (window_score == tf.gather(row_score, rows)) & (window_score > -_INF)
    order = tf.where(is_best, tf.range(num_windows), num_windows)
    window = tf.math.unsorted_segment_min(order, rows, num_rows)
    found = window < num_windows
    window = tf.where(found, window, 0)

    def chosen(values: Any, at: Any) -> Any:
        return tf.where(found, tf.gather_nd(values, tf.stack([window, at], 1)), 0)

    begin = chosen(starts, tf.gather(first, window))
    end = chosen(ends, tf.gather(last, window))
    context = clean_utf8(context)
    answer = tf.strings.substr(context, begin, end - begin)
    answer_start = _num_characters(
        tf.strings.substr(context, tf.zeros_like(begin), begin)
    )
    return Answers(
        answer,
        answer_start,
        answer_start + _num_characters(answer),
        tf.where(found, tf.gather(window_score, window), -_INF),
    )


def _best_in_windows(
    start_logits: tf.Tensor, end_logits: tf.Tensor, inside: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return each window's highest score and its span's first and last token, `[W]`."""
    num_windows, length = tf.unstack(tf.shape(inside))
    # ends[t, k] is the token k places after t.
    ends = tf.range(length)[:, tf.newaxis] + tf.range(MAX_ANSWER_TOKENS)
    pad = [[0, 0], [0, MAX_ANSWER_TOKENS]]
    valid = inside[:, :, tf.newaxis] & tf.gather(tf.pad(inside, pad), ends, axis=1)
    scores = tf.where(
        valid,
        start_logits[:, :, tf.newaxis]
        + tf.gather(tf.pad(end_logits, pad), ends, axis=1),
        -_INF,
    )
    scores = tf.reshape(scores, [num_windows, length * MAX_ANSWER_TOKENS])
    best = tf.argmax(scores, axis=1, output_type=tf.int32)
    first = best // MAX_ANSWER_TOKENS
    # The last token is past the end only if there is no valid span.
    last = tf.minimum(first + best % MAX_ANSWER_TOKENS, length - 1)
    return tf.gather(scores, best, batch_dims=1), first, last


def _num_characters(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.length(text, unit="UTF8_CHAR")
