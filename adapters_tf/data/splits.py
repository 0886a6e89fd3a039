"""Splitting rows into training, development and test ones.

`train_dev_split` and `split_groups` draw with a seed. `split_by_text` depends on the
texts alone: it is for public data sets without a split, whose results are compared.
"""

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from absl import logging

from adapters_tf.data.examples import Examples
from adapters_tf.errors import DataError

# The shares of Houlsby et al. (2019), appendix A, whose own rows are not public.
DEV_AND_TEST = {"dev": 0.1, "test": 0.1}

# Part of what is hashed. Another one is another split, and no old result compares.
_SALT = "adapters-tf split 1\n"


def split_groups(
    groups: Iterable[Hashable],
    labels: np.ndarray | None,
    fraction: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Splits the indices of N rows at random, those of a group into the same part.

    Without rows in common groups it is `train_dev_split`.

    Args:
        groups: What the group of each row is known by, such as its text: rows that
            say the same in both parts would make the development metrics too good.
        labels: `[N]` class of each row, or `None` where there are no classes. A
            group counts as one row of the class of its first.
        fraction: Share of the groups in the development part; see `train_dev_split`.
        seed: Seed of the choice.

    Returns:
        As `train_dev_split`.

    Raises:
        DataError: As `train_dev_split`.
    """
    numbers: dict[Hashable, int] = {}
    first: list[int] = []
    group_of_row = []
    for row, key in enumerate(groups):
        if key not in numbers:
            numbers[key] = len(first)
            first.append(row)
        group_of_row.append(numbers[key])
    classes = None if labels is None else labels[first]
    _, chosen = train_dev_split(classes, len(first), fraction, seed)
    in_dev = np.isin(group_of_row, chosen)
    return np.flatnonzero(~in_dev), np.flatnonzero(in_dev)


def train_dev_split(
    labels: np.ndarray | None,
    n: int,
    fraction: float,
    seed: int,
    stratify: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Splits the indices of N rows at random.

    Stratifying keeps the proportions of the classes. A class of one row stays
    in the training part, and where the development part is too small to hold
    every class, the split is not stratified; both are logged as warnings.

    Args:
        labels: `[N]` class of each row, or `None` where there are no classes.
        n: Number of rows.
        fraction: Share of the rows in the development part, between 0 and 1,
            rounded to the nearest number of rows but at least 1.
        seed: Seed of the choice; the same gives the same split.
        stratify: Whether to keep the proportions of the classes.

    Returns:
        The training and the development indices, ascending int64 arrays which
        have no index in common and hold all N together.

    Raises:
        DataError: The fraction is not between 0 and 1, or there are too few
            rows for two parts.
    """
    if not 0 < fraction < 1:
        raise DataError(
            "The development fraction must be between 0 and 1, both excluded. "
            f"Received: dev_fraction={fraction}"
        )
    if labels is not None and len(labels) != n:
        raise DataError(
            f"There must be one label a row. Received: {len(labels)} labels, {n} rows"
        )
    rows = np.arange(n, dtype=np.int64)
    alone = np.zeros(n, dtype=bool)
    if labels is not None and stratify:
        classes, inverse, counts = np.unique(
            labels, return_inverse=True, return_counts=True
        )
        alone = counts[inverse] == 1
        if alone.any():
            logging.warning(
                "%d classes have one row each; these rows are kept for training and "
                "the development part has none of those classes",
                alone.sum(),
            )
    rest = rows[~alone]
    if len(rest) < 2:
        raise DataError(
            "Splitting off a development part needs at least 2 rows, of one class and "
            f"of different texts. Received: {n} rows, {alone.sum()} of them the only "
            "one of their class. Give more rows, or a development file of your own"
        )
    size = min(max(1, round(fraction * n)), len(rest) - 1)
    strata = None
    if labels is not None and stratify:
        strata = labels[rest]
        num_classes = len(classes) - alone.sum()
        if min(size, len(rest) - size) < num_classes:
            logging.warning(
                "The split is not stratified: its parts of %d and %d rows cannot both "
                "hold %d classes",
                len(rest) - size,
                size,
                num_classes,
            )
            strata = None
    # Imported here: it takes as long as TensorFlow, and most programs split nothing.
    from sklearn import model_selection

    _, dev = model_selection.train_test_split(
        rest, test_size=size, random_state=seed, stratify=strata
    )
    dev = np.sort(dev)
    return np.setdiff1d(rows, dev), dev


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
