"""Tasks of three and more texts: all but the first come in one string.

The string holds the texts with U+001E, the record separator, between them. They are cut
and packed as `adapters_tf.models.presets.preprocess_texts` does.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from adapters_tf.export.rows import SEPARATOR
from adapters_tf.export.text_tokens import clean_utf8, token_ids
from adapters_tf.models.special_tokens import special_tokens


class Joined(NamedTuple):
    """The second and further texts of B rows, as one text each.

    Attributes:
        ids: `[tokens]` int32 token ids, with the base's separator between two texts.
        splits: `[B + 1]` int32: row `i` is `splits[i]:splits[i + 1]`.
        num_first: `[B]` int32: tokens to keep of the first text.
    """

    ids: tf.Tensor
    splits: tf.Tensor
    num_first: tf.Tensor


def join_texts(
    tokenizer: Any, text: tf.Tensor, num_first: tf.Tensor, size: tf.Tensor
) -> Joined:
    """Cut the texts of rows to what fits, and join all but the first.

    Args:
        tokenizer: A keras-hub tokenizer.
        text: `[B]` strings: the second and further texts with `SEPARATOR` between.
        num_first: `[B]` int32 tokens of the first texts.
        size: `[B]` int32 tokens of a row at most, special ones included.
    """
    # A NUL ends nothing here, but is white space to the tokenizer.
    text = tf.strings.regex_replace(clean_utf8(text), r"\x00", " ")
    parts = tf.strings.split(text, SEPARATOR)
    counts = tf.cast(parts.row_lengths(), tf.int32)
    ids = token_ids(tokenizer, parts.values)
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    table = parts.with_values(lengths).to_tensor(0)
    table = tf.concat([num_first[:, tf.newaxis], table], axis=1)
    special = special_tokens(tokenizer)
    room = size - special.count(1) - len(special.separators) * counts
    kept = fair_shares(table, tf.maximum(room, 0))
    of_parts = tf.boolean_mask(kept[:, 1:], tf.sequence_mask(counts))
    inside = tf.ragged.range(lengths) < of_parts[:, tf.newaxis]
    ids = tf.ragged.boolean_mask(tf.cast(ids, tf.int32), inside)
    separators = tf.tile([special.separators], [tf.size(of_parts), 1])
    ids = tf.concat([ids, tf.RaggedTensor.from_tensor(separators)], axis=1)
    joined = parts.with_values(ids).merge_dims(1, 2)[:, : -len(special.separators)]
    return Joined(joined.values, tf.cast(joined.row_splits, tf.int32), kept[:, 0])


def fair_shares(lengths: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    """How many tokens of each of several texts to keep.

    Places are given out one at a time, in turns, to the texts that still need some,
    the first text first, as keras-hub's packer does.

    Args:
        lengths: `[B, texts]` int32 tokens.
        room: `[B]` int32 tokens to keep at most.

    Returns:
        `[B, texts]` int32.
    """
    # The turns that all of them fit into: 0, 1, ... of those that may be needed.
    turns = tf.range(tf.reduce_max(tf.concat([room, [0]], 0)) + 1)
    used = tf.reduce_sum(tf.minimum(lengths[:, :, tf.newaxis], turns), axis=1)
    fitting = tf.cast(used <= room[:, tf.newaxis], tf.int32)
    whole = (tf.reduce_sum(fitting, axis=1) - 1)[:, tf.newaxis]
    kept = tf.minimum(lengths, whole)
    left = room[:, tf.newaxis] - tf.reduce_sum(kept, axis=1, keepdims=True)
    needs = tf.cast(lengths > kept, tf.int32)
    turn = tf.cumsum(needs, axis=1)
    return kept + tf.where(turn <= left, needs, 0)
