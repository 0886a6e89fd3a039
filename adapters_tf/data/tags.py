"""Check BIO (IOB2) tags of words and convert them to numbers.

`O` marks a word outside entities, `B-NAME` the first word of an entity of type `NAME`,
and `I-NAME` each further word of it.
"""

import re
from collections.abc import Sequence

import numpy as np

from adapters_tf.data.labels import MAX_CLASSES, natural_order
from adapters_tf.errors import DataError

OUTSIDE = "O"
_TAG = re.compile(r"O|[BI]-\S+")


def is_tag(text: str) -> bool:
    """Whether a text is `O`, `B-NAME` or `I-NAME`."""
    return _TAG.fullmatch(text) is not None


def check_tag(tag: str, before: str, where: str) -> None:
    """Reject a tag that the scheme does not allow here.

    Args:
        tag: The tag.
        before: The tag of the previous word; `O` at the start of a sentence.
        where: The place in the file, for messages.

    Raises:
        DataError: if it has another form, or continues an entity that did not begin.
    """
    if not is_tag(tag):
        hint = ""
        if re.fullmatch(r"[ESUL]-\S+", tag):
            hint = ". BIOES and BILOU tags need to be turned into BIO first"
        raise DataError(
            "Every tag must be O, B-NAME or I-NAME, the BIO scheme. Received: "
            f"{tag!r} at {where}{hint}"
        )
    if tag[0] == "I" and before[2:] != tag[2:]:
        raise DataError(
            "I-NAME must follow B-NAME or I-NAME of the same name, as in IOB2. "
            f"Received: {tag!r} after {before!r} at {where}. A file in IOB1, where "
            "entities begin with I, needs B- at the first word of each"
        )


def infer_tags(sentences: Sequence[Sequence[str]], path: str) -> tuple[str, ...]:
    """Return `O`, then the B and I tags of each entity type in natural order.

    Raises:
        DataError: if there are no entities, or too many types.
    """
    types = {tag[2:] for tags in sentences for tag in tags if tag != OUTSIDE}
    if not types or 2 * len(types) >= MAX_CLASSES:
        raise DataError(
            f"There must be from 1 to {MAX_CLASSES // 2 - 1} types of entities. "
            f"Received: {path}, with {len(types)} in {len(sentences)} sentences"
        )
    names = [(f"B-{name}", f"I-{name}") for name in natural_order(types)]
    return (OUTSIDE, *(tag for both in names for tag in both))


def encode_tags(
    sentences: Sequence[Sequence[str]],
    labels: Sequence[str],
    *,
    lines: Sequence[int],
    path: str,
) -> list[np.ndarray]:
    """Convert tags to indices into `labels`: `[words]` int32 for each sentence.

    Args:
        sentences: The tags.
        labels: The tags in the order of their indices.
        lines: The line of each sentence's first word, for messages.
        path: The file, for messages.

    Raises:
        DataError: if a tag is not among `labels`.
    """
    index = {name: i for i, name in enumerate(labels)}
    for tags, line in zip(sentences, lines, strict=True):
        for place, tag in enumerate(tags):
            if tag not in index:
                known = ", ".join(n[2:] for n in labels if n.startswith("B-"))
                raise DataError(
                    f"Every entity must be of a known type ({known}). Received: "
                    f"{tag!r} at {path}, line {line + place}"
                )
    return [np.array([index[tag] for tag in tags], np.int32) for tags in sentences]


def valid_tags(tags: Sequence[str]) -> list[str]:
    """Correct predicted tags: an I- tag that continues no entity becomes B-.

    The result has the meaning that conlleval and seqeval give to the original tags.
    """
    before, found = OUTSIDE, []
    for tag in tags:
        if tag[0] == "I" and before[2:] != tag[2:]:
            tag = f"B-{tag[2:]}"
        found.append(tag)
        before = tag
    return found
