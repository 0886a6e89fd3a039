"""Convert token outputs to tagged words, in a graph and as records."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters_tf.data.conll import OUTSIDE, valid_tags


def sentence_record(
    words: Sequence[str], read: Sequence[int], tags: Sequence[str], scores: np.ndarray
) -> dict[str, Any]:
    """Return a JSON-like record of one sentence.

    Args:
        words: The W words.
        read: Ascending indices of the R words that were read.
        tags: The tags of these R words.
        scores: `[R]` probabilities of these tags.

    Returns:
        `words`; `tags`, a BIO tag for each word, `O` for unread words; `entities`, each
        with its `type`, `text` (the words joined by spaces), `start` and `end` (indices
        of its first word and of the word after it) and `score` (the mean probability of
        its words' tags); and `unread`, the number of unread words, if there are any.
    """
    from seqeval.metrics.sequence_labeling import get_entities

    score_of = np.zeros(len(words))
    score_of[list(read)] = scores
    tag_of = [OUTSIDE] * len(words)
    for place, tag in zip(read, tags, strict=True):
        tag_of[place] = tag
    tag_of = valid_tags(tag_of)
    entities = [
        {
            "type": name,
            "text": " ".join(words[start : last + 1]),
            "start": start,
            "end": last + 1,
            "score": float(score_of[start : last + 1].mean()),
        }
        for name, start, last in get_entities(tag_of)
    ]
    record = {"words": list(words), "tags": tag_of, "entities": entities}
    unread = len(words) - len(read)
    return record | ({"unread": unread} if unread else {})


def read_words(
    words: Sequence[str], starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the words, joined by spaces, that a signature has read.

    A signature splits a word at all of `WORD_SEPARATORS`. The word's first part has its
    first token, and so its tag.

    Args:
        words: The W words.
        starts: `[L]` first character of each part that was read, ascending; -1 for
            padding.

    Returns:
        Ascending indices into `words` of the R that were read, and `[R]` indices into
        `starts` of their first parts.
    """
    begins = np.cumsum([0, *(len(word) + 1 for word in words)])
    parts = np.flatnonzero(starts >= 0)
    places = np.searchsorted(begins, starts[parts], side="right") - 1
    places, first = np.unique(places, return_index=True)
    return places, parts[first]


# === Inside a TensorFlow graph ===


def tagged_words(
    outputs: dict[str, Any], windows: dict[str, Any], text: Any
) -> dict[str, Any]:
    """Return the words of B texts with the tags of their first tokens.

    An I- tag that continues no entity becomes a B- tag, as in `valid_tags`.

    Args:
        outputs: Token outputs: `labels` `[B, C]` strings and `probabilities`
            `[B, length, C]` float32.
        windows: `starts` and `ends` `[B, length]` int32: the first byte of each token's
            word and the byte after the word; -1 for tokens outside words.
        text: `[B]` strings of valid UTF-8, from which the tokens were made.

    Returns:
        For the words that were read, where L is the largest number in a text:

        - `words`: `[B, L]` strings, padded with "".
        - `tags`: `[B, L]` strings in the BIO scheme, padded with "".
        - `tag_scores`: `[B, L]` float32 probabilities, padded with 0.
        - `word_starts`: `[B, L]` int32: index of the word's first character in the
          text, in code points as in Python; padded with -1.
        - `word_ends`: `[B, L]` int32: index after its last character; padded with -1.
    """
    import tensorflow as tf

    best = tf.argmax(outputs["probabilities"], axis=2)
    tags = tf.gather(outputs["labels"], best, batch_dims=1)
    scores = tf.reduce_max(outputs["probabilities"], axis=2)
    starts, ends = windows["starts"], windows["ends"]
    before = tf.pad(starts[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
    first = (starts >= 0) & (starts != before)
    rows = tf.cast(tf.where(first)[:, 0], tf.int32)
    splits = tf.math.bincount(rows, minlength=tf.size(text), maxlength=tf.size(text))
    text = tf.gather(text, rows)
    begin, end = tf.boolean_mask(starts, first), tf.boolean_mask(ends, first)
    words = tf.strings.substr(text, begin, end - begin)
    word_starts = _num_characters(tf.strings.substr(text, tf.zeros_like(begin), begin))

    def padded(values: Any, padding: str | int | float) -> Any:
        ragged = tf.RaggedTensor.from_row_lengths(values, splits, validate=False)
        return ragged.to_tensor(padding)

    return {
        "words": padded(words, ""),
        "tags": _valid(padded(tf.boolean_mask(tags, first), "")),
        "tag_scores": padded(tf.boolean_mask(scores, first), 0.0),
        "word_starts": padded(word_starts, -1),
        "word_ends": padded(word_starts + _num_characters(words), -1),
    }


def no_word_tags(num_rows: Any) -> dict[str, Any]:
    """Return the result of `tagged_words` for texts without words."""
    import tensorflow as tf

    empty = tf.zeros([num_rows, 0], tf.int32)
    return {
        "words": tf.as_string(empty),
        "tags": tf.as_string(empty),
        "tag_scores": tf.cast(empty, tf.float32),
        "word_starts": empty,
        "word_ends": empty,
    }


def _valid(tags: Any) -> Any:
    """Correct tags as `adapters_tf.data.conll.valid_tags`."""
    import tensorflow as tf

    # "O" and "" become empty.
    types = tf.strings.regex_replace(tags, "^.-?", "", replace_global=False)
    before = tf.pad(types[:, :-1], [[0, 0], [1, 0]], constant_values="")
    begins = tf.strings.regex_full_match(tags, "I-.*") & (types != before)
    return tf.where(begins, tf.strings.join(["B-", types]), tags)


def _num_characters(text: Any) -> Any:
    import tensorflow as tf

    return tf.strings.length(text, unit="UTF8_CHAR")
