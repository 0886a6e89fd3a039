"""Questions on contexts as windows of tokens, inside a TF graph."""

from typing import Any, NamedTuple

import tensorflow as tf

from adapters_tf.export.text_inputs import row_limits
from adapters_tf.export.text_lists import Joined, join_texts
from adapters_tf.export.text_tokens import TextTokens, tokenize
from adapters_tf.export.token_layout import (
    Stretches,
    lay_out,
    room_for_text,
    round_robin,
)
from adapters_tf.models.question_windows import DOC_STRIDE, MAX_QUESTION_TOKENS
from adapters_tf.models.special_tokens import special_tokens


class Windows(NamedTuple):
    """W windows over B rows, one row's after the other's.

    Attributes:
        inputs: `input_word_ids`, `input_mask`, `input_type_ids`: `[W, longest]`
            int32, with the longest window.
        rows: `[W]` int32 row that the window is of.
        starts: `[W, longest]` int32: the first byte, in the row's context, of
            the piece of text that the token is of; -1 for all other tokens: of
            the question, special ones, padding, and rows without a context.
            The context is meant with U+FFFD for what is not UTF-8. See also
            `mixed_windows` on words.
        ends: `[W, longest]` int32: the byte after that piece, likewise.
    """

    inputs: dict[str, tf.Tensor]
    rows: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor


def question_windows(
    tokenizer: Any,
    question: tf.Tensor,
    context: tf.Tensor,
    seq_lengths: tf.Tensor | int,
) -> Windows:
    """Windows as `adapters_tf.models.question_windows` makes them.

    The same pieces of text, cut of the question, size and stride of windows:
    see there and, for what counts as a letter, `text_tokens.tokenize`. A row
    whose context has no token still has one window, with nothing to answer.

    Args:
        tokenizer: A keras-hub BERT tokenizer.
        question: `[B]` strings.
        context: `[B]` strings.
        seq_lengths: Tokens of a window at most: `[B]` int32 or one number. From
            8 on, which training asks for, the windows are its own;
            below, the question is cut so that one token of the context fits,
            and a window has 4 tokens at least.

    Returns:
        The windows, one or more of each row.
    """
    size = row_limits(seq_lengths, question)
    with tf.device("cpu"):
        texts = tf.concat([question, context], 0)
        tokens = tokenize(tokenizer, texts, in_pieces=True)
        everywhere = tf.ones(tf.shape(size), tf.bool)
        return _windows(tokenizer, tokens, everywhere, everywhere, size)


def mixed_windows(
    tokenizer: Any,
    text: tf.Tensor,
    text_pair: tf.Tensor,
    has_pair: tf.Tensor,
    is_question: tf.Tensor,
    seq_lengths: tf.Tensor | int,
    is_words: tf.Tensor | None = None,
    is_list: tf.Tensor | None = None,
) -> Windows:
    """Rows of several tasks at once: questions as windows, others packed.

    A question gives what `question_windows` gives, any other row the one line
    that `pack_texts` gives. A row that is to be next to nothing has
    `is_question` false and a limit of 2: its text is not tokenised.

    Args:
        tokenizer: A keras-hub tokenizer; for questions, WordPiece.
        text: `[B]` strings: a text, or a question.
        text_pair: `[B]` strings: a second text, or a question's context.
        has_pair: `[B]` bool: whether the row has a second text, even an empty
            one; where it has none, `text_pair` is not read. A question always
            has a context.
        is_question: `[B]` bool.
        seq_lengths: Most tokens of a row or a window: `[B]` int32, or one
            number.
        is_words: `[B]` bool: whether the row is words apart by white space, each
            tokenised by itself, as `adapters_tf.models.word_tokens` does; it has no
            second text and is no question. `None` for no row. The places of such a
            row's tokens are those of their words in the first text.
        is_list: `[B]` bool: whether `text_pair` holds several texts, see
            `adapters_tf.export.text_lists`. `None` for no row.

    Returns:
        The windows, one or more of each row.
    """
    size = row_limits(seq_lengths, text)
    with tf.device("cpu"):
        has_pair = has_pair | is_question
        one_pair = has_pair if is_list is None else has_pair & ~is_list
        room = room_for_text(size, has_pair, special_tokens(tokenizer))
        wanted = is_question | (room > 0)
        texts = tf.concat([text, text_pair], 0)
        texts = tf.where(tf.concat([wanted, wanted & one_pair], 0), texts, "")
        in_words = None
        if is_words is not None:
            in_words = tf.concat([is_words, tf.zeros_like(is_words)], 0)
        tokens = tokenize(tokenizer, texts, tf.tile(is_question, [2]), in_words)
        joined = None
        if is_list is not None:
            num_first = tf.split(tokens.lengths, 2)[0]
            others = tf.where(is_list, text_pair, "")
            joined = join_texts(tokenizer, others, num_first, size), is_list
        return _windows(
            tokenizer, tokens, is_question, has_pair, size, is_words, joined
        )


def _windows(
    tokenizer: Any,
    tokens: TextTokens,
    is_question: tf.Tensor,
    has_pair: tf.Tensor,
    size: tf.Tensor,
    is_words: tf.Tensor | None = None,
    joined: tuple[Joined, tf.Tensor] | None = None,
) -> Windows:
    """Windows out of the tokens of B first texts and then of B second ones."""
    num_first, num_second = tf.split(tokens.lengths, 2)
    first, second = tf.split(tokens.splits[:-1], 2)
    if joined is not None:
        texts, is_list = joined
        # They stand behind all other tokens, and are of no place in a context.
        begin = tf.size(tokens.ids) + texts.splits[:-1]
        size_of = texts.splits[1:] - texts.splits[:-1]
        second = tf.where(is_list, begin, second)
        num_second = tf.where(is_list, size_of, num_second)
        num_first = tf.where(is_list, texts.num_first, num_first)
        none = tf.zeros_like(texts.ids)
        tokens = TextTokens(
            tf.concat([tokens.ids, texts.ids], 0),
            tf.concat([tokens.starts, none], 0),
            tf.concat([tokens.ends, none], 0),
            tokens.splits,
        )
    # A question is cut first and then the context split; a pair shares.
    cut = tf.minimum(num_first, tf.minimum(MAX_QUESTION_TOKENS, size // 2))
    cut = tf.minimum(cut, tf.maximum(size - 4, 0))
    room = tf.maximum(size - cut - 3, 1)
    # Windows overlap by half at least, or answers on a border are lost.
    stride = tf.minimum(DOC_STRIDE, tf.maximum(room // 2, 1))
    more = -(-tf.maximum(num_second - room, 0) // stride)
    count = tf.where(is_question, 1 + more, 1)
    kept_first, kept_second = round_robin(
        num_first,
        num_second,
        room_for_text(size, has_pair, special_tokens(tokenizer)),
    )
    num_first = tf.where(is_question, cut, kept_first)
    num_second = tf.where(is_question, num_second, kept_second)
    room = tf.where(is_question, room, kept_second)

    rows = tf.repeat(tf.range(tf.size(count)), count)
    nth = tf.range(tf.size(rows)) - tf.gather(tf.cumsum(count, exclusive=True), rows)
    skip = nth * tf.gather(stride, rows)
    window = Stretches(first, num_first, second, num_second, has_pair).take(rows)
    left = tf.minimum(tf.gather(room, rows), window.num_second - skip)
    window = window._replace(second=window.second + skip, num_second=left)
    inputs, place = lay_out(tokenizer, tokens.ids, window)
    has_places = is_question
    if is_words is not None:
        at = tf.range(tf.shape(place)[1])[tf.newaxis]
        first = (window.first - 1)[:, tf.newaxis] + at
        inside = (at >= 1) & (at <= window.num_first[:, tf.newaxis])
        in_words = tf.gather(is_words, rows)[:, tf.newaxis]
        place = tf.where(in_words, tf.where(inside, first, -1), place)
        has_places = is_question | is_words
    in_context = (place >= 0) & tf.gather(has_places, rows)[:, tf.newaxis]
    place = tf.where(in_context, place + 1, 0)
    starts, ends = (
        tf.gather(tf.concat([[-1], x], 0), place) for x in (tokens.starts, tokens.ends)
    )
    return Windows(inputs, rows, starts, ends)
