"""Pack rows of texts into an encoder's inputs, in a TF graph.

A row is `[CLS] text [SEP]` or `[CLS] text [SEP] text_pair [SEP]`, or the same with
another base's special tokens, such as `<s> text </s></s> text_pair </s>`. A question
with a context becomes one or more windows: rows with the question and a part of the
context.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from adapters_tf.export.rows import SEPARATOR
from adapters_tf.export.text_tokens import (
    TextTokens,
    clean_utf8,
    token_ids,
    tokenize,
)
from adapters_tf.models.question_windows import DOC_STRIDE, MAX_QUESTION_TOKENS
from adapters_tf.models.tokenizers import SpecialTokens, special_tokens


class Windows(NamedTuple):
    """W windows over B rows, sorted by row.

    Attributes:
        inputs: `input_word_ids`, `input_mask`, `input_type_ids`: `[W, longest]` int32,
            as long as the longest window.
        rows: `[W]` int32: each window's row.
        starts: `[W, longest]` int32. For a token of a question's context, the first
            byte of its piece in the context. For a token of a row of words, the first
            byte of its word in the text. -1 for all other tokens, including special
            tokens and padding. Byte offsets count U+FFFD for bytes that are not UTF-8.
        ends: `[W, longest]` int32: likewise the byte after the piece or word.
    """

    inputs: dict[str, tf.Tensor]
    rows: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor


def pack_rows(
    tokenizer: Any,
    text: tf.Tensor,
    text_pair: tf.Tensor,
    has_pair: tf.Tensor,
    is_question: tf.Tensor,
    seq_lengths: tf.Tensor | int,
    is_words: tf.Tensor | None = None,
    is_list: tf.Tensor | None = None,
) -> Windows:
    """Tokenize and pack rows of several tasks at once, each row as if it were alone.

    A row of one text or a pair has the same tokens as from keras-hub's preprocessor
    with the row's limit as `sequence_length`. A pair that is too long loses one token
    at a time from its longer text. Bytes that are not UTF-8 count as U+FFFD.

    A question has the windows of `adapters_tf.models.question_windows`, with the same
    pieces of text, question cut, size and stride. It has at least one window, even if
    its context has no token. `question_windows` needs a limit of 8 or more. Below that,
    the question is cut so that one context token fits, and a window has at least 4
    tokens.

    A text without room is not tokenized, so a row that is not a question costs almost
    nothing with a limit of 2.

    Args:
        tokenizer: A keras-hub tokenizer; for questions, WordPiece.
        text: `[B]` strings: a text, or a question.
        text_pair: `[B]` strings: a second text, or a question's context.
        has_pair: `[B]` bool: whether the row has a second text, even an empty one;
            otherwise `text_pair` is ignored. A question always has a context.
        is_question: `[B]` bool.
        seq_lengths: Maximum tokens of a row or window, including special tokens: `[B]`
            int32 or one number. A row is never shorter than its special tokens.
        is_words: `[B]` bool: whether the row holds words, tokenized one by one as in
            `adapters_tf.models.word_tokens`; such a row has no second text and is not a
            question. `None` if no row is.
        is_list: `[B]` bool: whether `text_pair` holds two or more texts separated by
            `SEPARATOR`, cut and packed as in
            `adapters_tf.models.presets.preprocess_texts`. `None` if no row does.

    Returns:
        The windows, one or more of each row.
    """
    special = special_tokens(tokenizer)
    size = tf.broadcast_to(tf.cast(seq_lengths, tf.int32), tf.shape(text))
    # These integer ops are too small to be worth a transfer to the GPU.
    with tf.device("cpu"):
        has_pair = has_pair | is_question
        num_special = tf.where(has_pair, special.count(2), special.count(1))
        room = tf.maximum(size - num_special, 0)
        wanted = is_question | (room > 0)
        one_pair = has_pair if is_list is None else has_pair & ~is_list
        texts = tf.concat([text, text_pair], 0)
        texts = tf.where(tf.concat([wanted, wanted & one_pair], 0), texts, "")
        in_words = None
        if is_words is not None:
            in_words = tf.concat([is_words, tf.zeros_like(is_words)], 0)
        tokens = tokenize(tokenizer, texts, tf.tile(is_question, [2]), in_words)
        first, second = tf.split(tokens.splits[:-1], 2)
        num_first, num_second = tf.split(tokens.lengths, 2)
        stretches = _Stretches(first, num_first, second, num_second, has_pair)
        if is_list is not None:
            others = tf.where(is_list, text_pair, "")
            tokens, stretches = _add_lists(
                tokenizer, tokens, stretches, others, is_list, size
            )
        windows, rows = _cut(stretches, is_question, size, room)
        inputs, place = _lay_out(special, tokens.ids, windows)
        has_places = is_question
        if is_words is not None:
            at = tf.range(tf.shape(place)[1])[tf.newaxis]
            first = (windows.first - 1)[:, tf.newaxis] + at
            inside = (at >= 1) & (at <= windows.num_first[:, tf.newaxis])
            of_words = tf.gather(is_words, rows)[:, tf.newaxis]
            place = tf.where(of_words, tf.where(inside, first, -1), place)
            has_places = is_question | is_words
        has_place = (place >= 0) & tf.gather(has_places, rows)[:, tf.newaxis]
        place = tf.where(has_place, place + 1, 0)
        starts, ends = (
            tf.gather(tf.concat([[-1], x], 0), place)
            for x in (tokens.starts, tokens.ends)
        )
        return Windows(inputs, rows, starts, ends)


def pack_segments(
    special: SpecialTokens, segments: list[tf.RaggedTensor], length: tf.Tensor | int
) -> dict[str, tf.Tensor]:
    """Pack one or two segments of tokens per row, all rows to one length.

    Args:
        special: The base's special tokens.
        segments: Ragged `[B, tokens]` int32 each.
        length: The length to cut and pad to.

    Returns:
        `input_word_ids`, `input_mask`, `input_type_ids`: `[B, length]` int32.

    Raises:
        tf.errors.InvalidArgumentError: if the segments differ in their number of rows.
    """
    first, second = segments[0], segments[-1]
    message = "The two segments must have the same number of rows."
    check = tf.debugging.assert_equal(first.nrows(), second.nrows(), message=message)
    with tf.device("cpu"), tf.control_dependencies([check]):
        is_pair = tf.fill([first.nrows()], len(segments) == 2)
        begin = tf.size(first.flat_values) * (len(segments) - 1)
        # As many rows as the first has, in the graph's shapes too: otherwise they
        # differ before `check` can say so.
        rows = tf.minimum(tf.range(first.nrows()), second.nrows() - 1)
        second_lengths = tf.gather(second.row_lengths(), rows)
        stretches = _Stretches(
            tf.cast(first.row_starts(), tf.int32),
            tf.cast(first.row_lengths(), tf.int32),
            tf.cast(tf.gather(second.row_starts(), rows), tf.int32) + begin,
            tf.where(is_pair, tf.cast(second_lengths, tf.int32), 0),
            is_pair,
        )
        room = tf.maximum(length - special.count(len(segments)), 0)
        kept = _round_robin(stretches.num_first, stretches.num_second, room)
        stretches = stretches._replace(num_first=kept[0], num_second=kept[1])
        ids = tf.concat([segment.flat_values for segment in segments], 0)
        inputs, _ = _lay_out(special, ids, stretches)
        inputs = {name: value[:, :length] for name, value in inputs.items()}
        left = tf.maximum(length - tf.shape(inputs["input_mask"])[1], 0)
        padding = {name: 0 for name in inputs} | {"input_word_ids": special.pad}
        return {
            name: tf.pad(value, [[0, 0], [0, left]], constant_values=padding[name])
            for name, value in inputs.items()
        }


class _Stretches(NamedTuple):
    """The spans of a flat list of tokens that each of W rows takes.

    Attributes:
        first: `[W]` int32 index in the list of the first text's first token.
        num_first: `[W]` int32 number of tokens to take from there.
        second: `[W]` int32 index of the second text's first token.
        num_second: `[W]` int32 number of tokens to take from there.
        has_second: `[W]` bool: whether the row ends with a second text, even an empty
            one, and its [SEP].
    """

    first: tf.Tensor
    num_first: tf.Tensor
    second: tf.Tensor
    num_second: tf.Tensor
    has_second: tf.Tensor

    def take(self, rows: tf.Tensor) -> "_Stretches":
        """Return the stretches of these rows."""
        return _Stretches(*(tf.gather(x, rows) for x in self))


def _cut(
    texts: _Stretches, is_question: tf.Tensor, size: tf.Tensor, room: tf.Tensor
) -> tuple[_Stretches, tf.Tensor]:
    """Cut B rows to their limits, and contexts into windows.

    Args:
        texts: All tokens of the rows' texts.
        is_question: `[B]` bool.
        size: `[B]` int32 maximum tokens of a row.
        room: `[B]` int32 tokens that fit besides the special tokens.

    Returns:
        The stretches of W windows, and the row of each, `[W]` int32.
    """
    num_first, num_second = texts.num_first, texts.num_second
    # Cut the question first, then split the context; a pair shares the room.
    cut = tf.minimum(num_first, tf.minimum(MAX_QUESTION_TOKENS, size // 2))
    cut = tf.minimum(cut, tf.maximum(size - 4, 0))
    for_context = tf.maximum(size - cut - 3, 1)
    # Overlap windows by at least half, so that answers at borders are not lost.
    stride = tf.minimum(DOC_STRIDE, tf.maximum(for_context // 2, 1))
    more = -(-tf.maximum(num_second - for_context, 0) // stride)
    count = tf.where(is_question, 1 + more, 1)
    kept_first, kept_second = _round_robin(num_first, num_second, room)
    texts = texts._replace(
        num_first=tf.where(is_question, cut, kept_first),
        num_second=tf.where(is_question, num_second, kept_second),
    )
    most = tf.where(is_question, for_context, kept_second)
    rows = tf.repeat(tf.range(tf.size(count)), count)
    nth = tf.range(tf.size(rows)) - tf.gather(tf.cumsum(count, exclusive=True), rows)
    skip = nth * tf.gather(stride, rows)
    windows = texts.take(rows)
    left = tf.minimum(tf.gather(most, rows), windows.num_second - skip)
    return windows._replace(second=windows.second + skip, num_second=left), rows


def _lay_out(
    special: SpecialTokens, ids: tf.Tensor, stretches: _Stretches
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Assemble rows of tokens, padded to the longest row.

    Args:
        special: The base's special tokens.
        ids: `[tokens]` int32 ids.
        stretches: The spans of `ids` that the rows take.

    Returns:
        `input_word_ids`, `input_mask`, `input_type_ids`, `[W, longest]` int32; and each
        token's index in `ids` if it belongs to the row's second text, else -1.
    """
    first, num_first, second, num_second, has_second = (
        x[:, tf.newaxis] for x in stretches
    )
    head = num_first + 1 + tf.where(has_second, len(special.separators), 1)
    length = head + tf.where(has_second, num_second + 1, 0)
    # Without rows, the result is [0, 1].
    at = tf.range(tf.maximum(tf.reduce_max(length), 1))[tf.newaxis]
    in_second = has_second & (at >= head) & (at < head + num_second)
    place = tf.where(in_second, second + at - head, -1)
    # The separator between two texts is one token, used once or twice.
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


# === Sharing a row between texts ===


def _round_robin(
    num_first: tf.Tensor, num_second: tf.Tensor, room: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `fair_shares` for two texts in closed form.

    Args:
        num_first: `[B]` int32 tokens of the first texts.
        num_second: `[B]` int32 tokens of the second texts.
        room: `[B]` int32 maximum tokens to keep of both together.

    Returns:
        The numbers of tokens to keep of each text, `[B]` int32 each.
    """
    half = room // 2
    return (
        tf.minimum(num_first, tf.maximum(room - half, room - num_second)),
        tf.minimum(num_second, tf.maximum(half, room - num_first)),
    )


def fair_shares(lengths: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    """Return how many tokens to keep of each of several texts.

    As in keras-hub's packer, each text that still needs places gets one at a time, in
    turns, starting with the first text.

    Args:
        lengths: `[B, texts]` int32 tokens.
        room: `[B]` int32 maximum tokens to keep.

    Returns:
        `[B, texts]` int32.
    """
    # The number of complete turns that fit, among 0, 1, ... possible turns.
    turns = tf.range(tf.reduce_max(tf.concat([room, [0]], 0)) + 1)
    used = tf.reduce_sum(tf.minimum(lengths[:, :, tf.newaxis], turns), axis=1)
    fitting = tf.cast(used <= room[:, tf.newaxis], tf.int32)
    whole = (tf.reduce_sum(fitting, axis=1) - 1)[:, tf.newaxis]
    kept = tf.minimum(lengths, whole)
    left = room[:, tf.newaxis] - tf.reduce_sum(kept, axis=1, keepdims=True)
    needs = tf.cast(lengths > kept, tf.int32)
    turn = tf.cumsum(needs, axis=1)
    return kept + tf.where(turn <= left, needs, 0)


def _add_lists(
    tokenizer: Any,
    tokens: TextTokens,
    texts: _Stretches,
    others: tf.Tensor,
    is_list: tf.Tensor,
    size: tf.Tensor,
) -> tuple[TextTokens, _Stretches]:
    """Cut rows of three or more texts to fit; join all texts but the first.

    Args:
        tokenizer: A keras-hub tokenizer.
        tokens: The tokens of all texts outside `others`.
        texts: Their stretches.
        others: `[B]` strings: the second and further texts, separated by `SEPARATOR`.
        is_list: `[B]` bool: which rows have such texts.
        size: `[B]` int32 maximum tokens of a row, including special tokens.

    Returns:
        The tokens followed by those of the joined texts, which have no place in a text,
        and the stretches.
    """
    # The tokenizer treats NUL as white space.
    others = tf.strings.regex_replace(clean_utf8(others), r"\x00", " ")
    parts = tf.strings.split(others, SEPARATOR)
    counts = tf.cast(parts.row_lengths(), tf.int32)
    ids = token_ids(tokenizer, parts.values)
    lengths = tf.cast(ids.row_lengths(), tf.int32)
    table = parts.with_values(lengths).to_tensor(0)
    table = tf.concat([texts.num_first[:, tf.newaxis], table], axis=1)
    special = special_tokens(tokenizer)
    room = size - special.count(1) - len(special.separators) * counts
    kept = fair_shares(table, tf.maximum(room, 0))
    of_parts = tf.boolean_mask(kept[:, 1:], tf.sequence_mask(counts))
    inside = tf.ragged.range(lengths) < of_parts[:, tf.newaxis]
    ids = tf.ragged.boolean_mask(tf.cast(ids, tf.int32), inside)
    separators = tf.tile([special.separators], [tf.size(of_parts), 1])
    ids = tf.concat([ids, tf.RaggedTensor.from_tensor(separators)], axis=1)
    joined = parts.with_values(ids).merge_dims(1, 2)[:, : -len(special.separators)]
    splits = tf.cast(joined.row_splits, tf.int32)
    begin, no_place = tf.size(tokens.ids) + splits[:-1], tf.zeros_like(joined.values)
    texts = texts._replace(
        num_first=tf.where(is_list, kept[:, 0], texts.num_first),
        second=tf.where(is_list, begin, texts.second),
        num_second=tf.where(is_list, splits[1:] - splits[:-1], texts.num_second),
    )
    tokens = tokens._replace(
        ids=tf.concat([tokens.ids, joined.values], 0),
        starts=tf.concat([tokens.starts, no_place], 0),
        ends=tf.concat([tokens.ends, no_place], 0),
    )
    return tokens, texts
