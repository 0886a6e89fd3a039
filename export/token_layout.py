"""Rows of tokens out of stretches of texts: `[CLS] first [SEP] second [SEP]`.

Or with the special tokens of another base, such as `<s> first </s></s> second </s>`.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from adapters_tf.models.special_tokens import SpecialTokens, special_tokens


class Stretches(NamedTuple):
    """Which tokens each of W rows takes, out of a flat list of tokens.

    Attributes:
        first: `[W]` int32 place in the list of the first text's first token.
        num_first: `[W]` int32 number of tokens to take from there.
        second: `[W]` int32 place of the second text's first token.
        num_second: `[W]` int32 number of tokens to take from there.
        has_second: `[W]` bool: whether the row ends with a second text and its
            [SEP], if only an empty one.
    """

    first: tf.Tensor
    num_first: tf.Tensor
    second: tf.Tensor
    num_second: tf.Tensor
    has_second: tf.Tensor

    def take(self, rows: tf.Tensor) -> "Stretches":
        """These rows' stretches."""
        return Stretches(*(tf.gather(x, rows) for x in self))


def room_for_text(
    size: tf.Tensor, has_second: tf.Tensor, special: SpecialTokens
) -> tf.Tensor:
    """`[B]` int32 tokens that fit beside a row's special ones, at least 0."""
    count = tf.where(has_second, special.count(2), special.count(1))
    return tf.maximum(size - count, 0)


def round_robin(
    num_first: tf.Tensor, num_second: tf.Tensor, room: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """How many tokens of two texts to keep.

    Places are given out one at a time, in turns, to the texts that still need
    some, the first text first, as keras-hub's packer does; but with a limit of
    its own for each row.

    Args:
        num_first: `[B]` int32 tokens of the first texts.
        num_second: `[B]` int32 tokens of the second texts.
        room: `[B]` int32 tokens to keep at most, of both together.

    Returns:
        The two numbers, `[B]` int32 each.
    """
    half = room // 2
    return (
        tf.minimum(num_first, tf.maximum(room - half, room - num_second)),
        tf.minimum(num_second, tf.maximum(half, room - num_first)),
    )


def lay_out(
    tokenizer: Any, ids: tf.Tensor, stretches: Stretches
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Put rows together, padded to the longest of them.

    Args:
        tokenizer: A keras-hub tokenizer, for the special tokens.
        ids: `[tokens]` int32 ids.
        stretches: What the rows take of `ids`.

    Returns:
        `input_word_ids`, `input_mask`, `input_type_ids`, `[W, longest]` int32;
        and for each of these tokens its place in `ids` where it is of the row's
        second text, else -1.
    """
    first, num_first, second, num_second, has_second = (
        x[:, tf.newaxis] for x in stretches
    )
    special = special_tokens(tokenizer)
    head = num_first + 1 + tf.where(has_second, len(special.separators), 1)
    length = head + tf.where(has_second, num_second + 1, 0)
    # With no row at all the result is [0, 1].
    at = tf.range(tf.maximum(tf.reduce_max(length), 1))[tf.newaxis]
    in_second = has_second & (at >= head) & (at < head + num_second)
    place = tf.where(in_second, second + at - head, -1)
    # The separators of two texts are one token, once or twice.
    (separator,) = set(special.separators)
    before = [special.pad, special.start, separator, special.end]
    index = tf.where(has_second & (at < head), 2, 3)
    index = tf.where(in_second, place + len(before), index)
    index = tf.where((at >= 1) & (at <= num_first), first + at + 3, index)
    index = tf.where(at == 0, 1, index)
    index = tf.where(at < length, index, 0)
    inputs = {
        "input_word_ids": tf.gather(tf.concat([before, ids], 0), index),
        "input_mask": tf.cast(at < length, tf.int32),
        "input_type_ids": tf.cast((at >= head) & (at < length), tf.int32),
    }
    return inputs, place
