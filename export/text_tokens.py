"""Tokenize texts in a TF graph, with each token's place in the text.

The graph has only ops of TensorFlow and TF.Text, which the stock TensorFlow Serving
supports.
"""

import contextlib
import functools
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras_hub
import tensorflow as tf
import tensorflow_text as tf_text

# Private; tests/export/test_encoders.py counts the checks that are left.
from tensorflow.python.ops import check_ops, control_flow_ops
from tensorflow.python.ops.ragged.ragged_tensor import RaggedTensor
from tensorflow.python.ops.ragged.row_partition import RowPartition

from adapters_tf.models.question_windows import delimiters
from adapters_tf.models.word_tokens import WORD_SEPARATORS


class TextTokens(NamedTuple):
    """Concatenated tokens of B texts.

    Attributes:
        ids: `[tokens]` int32 token ids.
        starts: `[tokens]` int32: first byte, in the cleaned text, of each token's piece
            or word; 0 for texts that were not cut.
        ends: `[tokens]` int32: likewise the byte after the piece or word.
        splits: `[B + 1]` int32: text `i` is `splits[i]:splits[i + 1]`.
    """

    ids: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    splits: tf.Tensor

    @property
    def lengths(self) -> tf.Tensor:
        """`[B]` int32 numbers of tokens."""
        return self.splits[1:] - self.splits[:-1]


def clean_utf8(text: tf.Tensor) -> tf.Tensor:
    """Replace bytes that are not UTF-8 by U+FFFD.

    Valid UTF-8 does not change. All byte offsets in this package refer to the result,
    which equals Python's `text.decode("utf-8", "replace")`.
    """
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")


def tokenize(
    tokenizer: Any,
    text: tf.Tensor,
    in_pieces: bool | tf.Tensor,
    in_words: tf.Tensor | None = None,
) -> TextTokens:
    """Tokenize each text.

    Cutting a text into pieces gives the same tokens as
    `adapters_tf.models.question_windows`, at its `delimiters`, and as the whole text.
    RE2, the engine of TensorFlow's regular expressions, has another Unicode version
    than Python and no Unicode in `\\s`. So the patterns list all characters that the
    Python that builds the graph matches.

    Args:
        tokenizer: A keras-hub tokenizer.
        text: `[B]` strings. Bytes that are not UTF-8 count as U+FFFD.
        in_pieces: Whether to cut into pieces: for all texts, or `[B]` bool.
        in_words: `[B]` bool: whether to cut into words, at `WORD_SEPARATORS`; never
            true together with `in_pieces`. `None` for no text.

    Returns:
        The tokens.
    """
    # TF.Text's regex_split drops everything after a NUL. The tokenizer treats NUL as
    # white space, so replace it by a space, which also has one byte.
    text = tf.strings.regex_replace(clean_utf8(text), r"\x00", " ")
    if in_pieces is True:
        units, starts, ends = _pieces(text, tokenizer)
    else:
        cut = tf.zeros(tf.shape(text), bool) if in_pieces is False else in_pieces
        whole = ~cut if in_words is None else ~(cut | in_words)
        units = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(text, whole), tf.cast(whole, tf.int64), validate=False
        )
        starts = ends = units.with_values(tf.zeros_like(units.values, tf.int64))
        parts = [(units, starts, ends)]
        if in_pieces is not False:
            parts.append(_pieces(tf.where(cut, text, ""), tokenizer))
        if in_words is not None:
            parts.append(_words(tf.where(in_words, text, "")))
        if len(parts) > 1:
            units, starts, ends = (
                tf.concat(part, axis=1) for part in zip(*parts, strict=True)
            )
    ids = token_ids(tokenizer, units.values)
    counts = ids.row_lengths()
    return TextTokens(
        tf.cast(ids.values, tf.int32),
        tf.cast(tf.repeat(starts.values, counts), tf.int32),
        tf.cast(tf.repeat(ends.values, counts), tf.int32),
        tf.cast(tf.gather(ids.row_splits, units.row_splits), tf.int32),
    )


def _pieces(text: tf.Tensor, tokenizer: Any) -> tuple[tf.RaggedTensor, ...]:
    """Return pieces of each text, with the first byte and the byte after each."""
    dropped, kept = (_characters(f"[{part}]+") for part in delimiters(tokenizer))
    return tf_text.regex_split_with_offsets(
        text, f"[{dropped}{kept}]", keep_delim_regex_pattern=f"[{kept}]"
    )


def _words(text: tf.Tensor) -> tuple[tf.RaggedTensor, ...]:
    """Return words of each text, with the first byte and the byte after each."""
    return tf_text.regex_split_with_offsets(text, f"[{WORD_SEPARATORS}]")


@functools.cache
def _characters(pattern: str) -> str:
    """Return the inside of an RE2 class of all characters that Python's `re` finds."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    return "".join(
        rf"\x{{{m.start():x}}}-\x{{{m.end() - 1:x}}}"
        for m in re.finditer(pattern, every)
    )


def token_ids(tokenizer: Any, text: tf.Tensor) -> tf.RaggedTensor:
    """Return ragged `[B, tokens]` ids of `[B]` strings, in or outside a graph."""
    # Outside a graph, keras-hub tokenises in Python and returns lists.
    if tf.executing_eagerly():
        return _in_graph(tokenizer, text)
    return tokenizer(text)


@tf.function(reduce_retracing=True, autograph=False)
def _in_graph(tokenizer: Any, text: tf.Tensor) -> tf.RaggedTensor:
    return tokenizer(text)


# === Byte-level BPE ===


class _OneCall(tf.Module):
    """A replacement for keras-hub's word cache that keeps nothing between calls.

    keras-hub's tokenizer keeps every merged word in a mutable table. On a server that
    table would grow with each new word, for as long as the server runs. In one call,
    keras-hub looks the words up, merges and inserts those that it did not find, and
    looks the same words up again. This class holds the inserted words between these two
    lookups only. `tests/export/test_encoders.py` fails if keras-hub changes that order.
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
        """Return `[N]` strings: each word's tokens joined by spaces, "" if unknown."""
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
    """Return the tokenizer, or a copy whose graph holds no state.

    Args:
        tokenizer: A keras-hub tokenizer.

    Returns:
        For byte-level BPE, a copy with the same tokens; otherwise the tokenizer.
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


# === Ragged tensors without checks ===

_ASSERTS = (
    "assert_equal",
    "assert_greater",
    "assert_greater_equal",
    "assert_less",
    "assert_less_equal",
    "assert_non_negative",
)
_CHECKED = {
    RowPartition: (
        "from_row_lengths",
        "from_row_limits",
        "from_row_splits",
        "from_row_starts",
        "from_uniform_row_length",
        "from_value_rowids",
    ),
    RaggedTensor: ("_from_row_partition",),
}
_ragged_lock = threading.RLock()


@contextlib.contextmanager
def without_ragged_checks() -> Iterator[None]:
    """Trace a block without the checks that ragged tensors have the form they claim.

    TensorFlow adds a branch with forty nodes for nearly every ragged tensor that a
    tokenizer makes: more than half of a text signature's graph, which makes each first
    call slow. The tests of packing run the same code with the checks.

    The block must make no assertion that users need. Meanwhile, graphs that other
    threads trace lack these checks too.
    """
    with _ragged_lock, contextlib.ExitStack() as stack:
        for name in _ASSERTS:
            _set(stack, check_ops, name, _no_check)
        for owner, names in _CHECKED.items():
            for name in names:
                _set(stack, owner, name, _unchecked(getattr(owner, name)))
        yield


def _set(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    stack.callback(setattr, owner, name, vars(owner)[name])
    setattr(owner, name, value)


def _no_check(*args: Any, **options: Any) -> Any:
    return control_flow_ops.no_op()


def _unchecked(make: Any) -> Any:
    def unchecked(*args: Any, **options: Any) -> Any:
        return make(*args, **{**options, "validate": False})

    return staticmethod(unchecked)
