"""What is said of a sentence: its tags, and the entities that they make."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities

from adapters_tf.data.tags import OUTSIDE, valid_tags


def tag_record(
    words: Sequence[str],
    places: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
) -> dict[str, Any]:
    """The record of one sentence, of a model's outputs.

    Args:
        words: The W words.
        places: `[W]` from `WordFeatures.firsts`: -1 for words that were not read.
        probabilities: `[words that were read, classes]`.
        labels: The tags by index.

    Returns:
        See `sentence_record`.
    """
    tags = [labels[best] for best in probabilities.argmax(axis=1)]
    read = np.flatnonzero(places >= 0).tolist()
    return sentence_record(words, read, tags, probabilities.max(axis=1))


def sentence_record(
    words: Sequence[str], read: Sequence[int], tags: Sequence[str], scores: np.ndarray
) -> dict[str, Any]:
    """A JSON-like record of one sentence.

    Args:
        words: The W words.
        read: Which R of them were read, ascending from 0.
        tags: Their R tags.
        scores: `[R]` probabilities of these.

    Returns:
        `words`; `tags` in the BIO scheme, one for each word, `O` for those that were
        not read; `entities`, each with its `type`, its `text` (the words, with single
        spaces), `start` and `end` (its first word, from 0, and the word after it), and
        `score`, the mean probability of its words' tags. And `unread`, their number,
        where there are such words.
    """
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
