"""Texts and pairs of texts as a model's inputs, inside a TF graph."""

from typing import Any

import tensorflow as tf

from adapters_tf.export.text_tokens import tokenize
from adapters_tf.export.token_layout import (
    Stretches,
    lay_out,
    room_for_text,
    round_robin,
)
from adapters_tf.models.special_tokens import special_tokens


def pack_texts(
    tokenizer: Any,
    text: tf.Tensor,
    text_pair: tf.Tensor | None,
    seq_lengths: tf.Tensor | int,
    has_pair: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Tokenise and pack texts, each row as if it were alone.

    The tokens of a row are those of keras-hub's preprocessor with the row's
    limit as its `sequence_length`: `[CLS] text [SEP]` or
    `[CLS] text [SEP] text_pair [SEP]`, where a pair that is too long is cut one
    token at a time from the text that has more left. Bytes that are not UTF-8
    count as U+FFFD.

    Args:
        tokenizer: A keras-hub tokenizer.
        text: `[B]` strings.
        text_pair: `[B]` strings, or `None` where no row has a second text.
        seq_lengths: Most tokens of a row, special ones included: `[B]` int32 or
            one number. A row is never shorter than its special tokens. A text
            with no room, as under a limit of 2, costs no tokenising.
        has_pair: `[B]` bool: whether the row is a pair, even if its second text
            is empty; where it is not, `text_pair` is not read. Default: all are.

    Returns:
        `input_word_ids`, `input_mask`, `input_type_ids`: `[B, longest]` int32,
        with the batch's longest row.
    """
    size = row_limits(seq_lengths, text)
    if text_pair is None:
        has_pair = tf.zeros(tf.shape(size), tf.bool)
    elif has_pair is None:
        has_pair = tf.ones(tf.shape(size), tf.bool)
    # The ops on integers are too small to be worth a way to a GPU and back.
    with tf.device("cpu"):
        room = room_for_text(size, has_pair, special_tokens(tokenizer))
        texts = tf.where(room > 0, text, "")
        if text_pair is not None:
            pairs = tf.where(has_pair & (room > 0), text_pair, "")
            texts = tf.concat([texts, pairs], 0)
        tokens = tokenize(tokenizer, texts, in_pieces=False)
        first, num_first = tokens.splits[:-1], tokens.lengths
        second = num_second = tf.zeros_like(first)
        if text_pair is not None:
            first, second = tf.split(first, 2)
            num_first, num_second = tf.split(num_first, 2)
        num_first, num_second = round_robin(num_first, num_second, room)
        stretches = Stretches(first, num_first, second, num_second, has_pair)
        return lay_out(tokenizer, tokens.ids, stretches)[0]


def row_limits(seq_lengths: tf.Tensor | int, text: tf.Tensor) -> tf.Tensor:
    """`[B]` int32 limits, out of as many or one for all."""
    return tf.broadcast_to(tf.cast(seq_lengths, tf.int32), tf.shape(text))
