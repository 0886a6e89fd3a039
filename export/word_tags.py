"""Words with their tags out of a model's outputs for tokens, inside a TF graph."""

from typing import NamedTuple

import tensorflow as tf

from adapters_tf.export.text_tokens import clean_utf8


class WordTags(NamedTuple):
    """The words of B texts that were read, L of the text with the most.

    Attributes:
        words: `[B, L]` strings, valid UTF-8; "" behind a text's last word.
        tags: `[B, L]` strings in the BIO scheme; "" there.
        tag_scores: `[B, L]` float32 probabilities; 0 there.
        word_starts: `[B, L]` int32: the word's first character in the text, counted as
            Python counts (code points); -1 there.
        word_ends: `[B, L]` int32: the character after it; -1 there.
    """

    words: tf.Tensor
    tags: tf.Tensor
    tag_scores: tf.Tensor
    word_starts: tf.Tensor
    word_ends: tf.Tensor


def word_tags(
    tags: tf.Tensor,
    scores: tf.Tensor,
    starts: tf.Tensor,
    ends: tf.Tensor,
    text: tf.Tensor,
) -> WordTags:
    """The words' tags: those of their first tokens.

    As `adapters_tf.training.tag_records`: an I- that goes on with nothing is a B-.

    Args:
        tags: `[B, length]` strings, of each token.
        scores: `[B, length]` float32 probabilities of these.
        starts: `[B, length]` int32 first byte of the word that the token is of; -1 for
            other tokens. See `Windows` of `adapters_tf.export.packing`.
        ends: `[B, length]` int32 byte after that word.
        text: `[B]` strings, those that the tokens were made from.
    """
    before = tf.pad(starts[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
    first = (starts >= 0) & (starts != before)
    rows = tf.cast(tf.where(first)[:, 0], tf.int32)
    splits = tf.math.bincount(rows, minlength=tf.size(text), maxlength=tf.size(text))
    text = tf.gather(clean_utf8(text), rows)
    begin, end = tf.boolean_mask(starts, first), tf.boolean_mask(ends, first)
    words = tf.strings.substr(text, begin, end - begin)
    word_starts = _num_characters(tf.strings.substr(text, tf.zeros_like(begin), begin))

    def padded(values: tf.Tensor, padding: str | int | float) -> tf.Tensor:
        ragged = tf.RaggedTensor.from_row_lengths(values, splits, validate=False)
        return ragged.to_tensor(padding)

    return WordTags(
        padded(words, ""),
        _valid(padded(tf.boolean_mask(tags, first), "")),
        padded(tf.boolean_mask(scores, first), 0.0),
        padded(word_starts, -1),
        padded(word_starts + _num_characters(words), -1),
    )


def _valid(tags: tf.Tensor) -> tf.Tensor:
    """See `adapters_tf.data.tags.valid_tags`."""
    # Of "O" and "" nothing is left.
    types = tf.strings.regex_replace(tags, "^.-?", "", replace_global=False)
    before = tf.pad(types[:, :-1], [[0, 0], [1, 0]], constant_values="")
    begins = tf.strings.regex_full_match(tags, "I-.*") & (types != before)
    return tf.where(begins, tf.strings.join(["B-", types]), tags)


def _num_characters(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.length(text, unit="UTF8_CHAR")
