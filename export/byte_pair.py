"""Byte-level BPE inside a TF graph, without a table that grows."""

from typing import Any

import keras_hub
import tensorflow as tf


class _OneCall(tf.Module):
    """In the place of keras-hub's cache of words, one that forgets them.

    keras-hub's tokenizer keeps each word that it has merged in a mutable table. In a
    server that table would grow with every new word for as long as the server runs.
    It looks the words of a call up, inserts those that it did not find and merged, and
    looks the same words up again: what was inserted is held between these two.
    `tests/export/test_byte_pair.py` fails when keras-hub does otherwise.
    """

    def __init__(self, unsplittable_tokens: list[str]) -> None:
        super().__init__()
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(unsplittable_tokens), tf.constant(unsplittable_tokens)
            ),
            default_value="",
        )
        self._merged: Any = None

    def lookup(self, words: Any) -> Any:
        """`[N]` strings: each word's tokens, joined by spaces, "" if not known."""
        found = self._table.lookup(words)
        if self._merged is None:
            return found
        merged, self._merged = self._merged, None
        return tf.tensor_scatter_nd_update(found, tf.where(found == ""), merged)

    def insert(self, words: Any, merged: Any) -> None:
        """Remember the tokens of all words that `lookup` did not find, in order."""
        del words
        self._merged = merged


def without_growing_table(tokenizer: Any) -> Any:
    """The tokenizer itself, or a copy whose graph holds no state.

    Args:
        tokenizer: A keras-hub tokenizer.

    Returns:
        For byte-level BPE a copy with the same tokens; any other as it is.
    """
    if not isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer):
        return tokenizer
    copy = type(tokenizer)(
        vocabulary=dict(tokenizer.vocabulary),
        merges=list(tokenizer.merges),
        add_prefix_space=tokenizer.add_prefix_space,
    )
    copy.cache = _OneCall(list(copy.unsplittable_tokens))
    return copy
