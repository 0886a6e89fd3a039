"""One fixed split of a data set that comes without one, the same on every machine."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from adapters_tf.data.examples import Examples
from adapters_tf.errors import DataError

# The shares of Houlsby et al. (2019), appendix A, whose own rows are not public.
DEV_AND_TEST = {"dev": 0.1, "test": 0.1}

# Part of what is hashed. Another one is another split, and no old result compares.
_SALT = "adapters-tf split 1\n"


def text_key(text: str) -> str:
    """What two texts have in common that differ in case and white space only."""
    return " ".join(text.lower().split())


def split_by_text(
    texts: Sequence[str], labels: np.ndarray, parts: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Splits rows by a hash of their texts, class by class.

    Rows of the same `text_key` come into the same part. Within a class the texts
    are ordered by the SHA-256 of their keys; the first ones fill the first part, and
    so on, and the rest is for training. So the split depends on the texts and labels
    alone: not on the order of the rows, a seed, or the version of a library.

    Of a class with n rows each part gets its share of n, rounded; a class of fewer
    than 5 rows is in training only, with shares of 0.1. Texts with several labels
    count to the one most of their rows have, the first of those equally many. Of a
    text with many rows, they go where there is still room for all.

    Args:
        texts: The N texts.
        labels: `[N]` class indices.
        parts: Share of the rows in each part beside `"train"`, in the order in which
            they are filled.

    Returns:
        Ascending int64 row indices of `"train"` and each of `parts`, which have none
        in common and are N together.

    Raises:
        DataError: A part would have no rows.
    """
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(text_key(text), []).append(row)
    by_class: dict[int, list[tuple[bytes, list[int]]]] = {}
    for key, rows in groups.items():
        label = int(np.bincount(labels[rows]).argmax())
        by_class.setdefault(label, []).append((_digest(key), rows))
    chosen: dict[str, list[int]] = {name: [] for name in ("train", *parts)}
    for members in by_class.values():
        total = sum(len(rows) for _, rows in members)
        room = {name: int(share * total + 0.5) for name, share in parts.items()}
        for _, rows in sorted(members):
            name = next((n for n in room if len(rows) <= room[n]), "train")
            chosen[name] += rows
            if name in room:
                room[name] -= len(rows)
    empty = [name for name, rows in chosen.items() if not rows]
    if empty:
        raise DataError(
            f"There must be enough rows for the parts {', '.join(chosen)}. Received: "
            f"{len(texts)} rows, which leave none for {' and '.join(empty)}. At least "
            "5 rows of one class are needed"
        )
    return {name: np.sort(np.array(rows, np.int64)) for name, rows in chosen.items()}


def split_examples(
    examples: Examples, parts: Mapping[str, float] = DEV_AND_TEST
) -> dict[str, Examples]:
    """The same on labelled rows of one text: `Examples` by the names of the parts.

    Raises:
        DataError: A part would have no rows.
    """
    rows = split_by_text(examples.texts[0], examples.references, parts)
    return {name: examples.take(indices) for name, indices in rows.items()}


def _digest(key: str) -> bytes:
    # A lone surrogate cannot be encoded otherwise.
    return hashlib.sha256((_SALT + key).encode("utf-8", "surrogatepass")).digest()
