"""Split rows into training, development and test parts.

`train_dev_split` and `split_groups` use a seed. `split_by_text` depends only on the
texts, for comparable results on public data sets without a split.
"""

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from absl import logging

from adapters_tf.data.examples import Examples
from adapters_tf.errors import DataError

# The shares of Houlsby et al. (2019), appendix A; the paper's splits are not public.
DEV_AND_TEST = {"dev": 0.1, "test": 0.1}

# Part of the hashed text. Changing it changes every split, so results no longer compare
# with old ones.
_SALT = "adapters-tf split 1\n"


def split_groups(
    groups: Iterable[Hashable],
    labels: np.ndarray | None,
    fraction: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Split the indices of N rows at random, and keep groups together.

    If each row is its own group, this equals `train_dev_split`.

    Args:
        groups: Key of each row's group, such as its text: equal texts in both parts
            would make development metrics too good.
        labels: `[N]` class of each row, or `None` without classes. A group counts as
            one row, with the class of its first row.
        fraction: Share of the groups in the development part; see `train_dev_split`.
        seed: Seed of the random choice.

    Returns:
        The same as `train_dev_split`.

    Raises:
        DataError: See `train_dev_split`.
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
    """Split the indices of N rows at random.

    Stratifying keeps the proportions of the classes. A class of one row stays in the
    training part. If the development part is too small to hold every class, the split
    is not stratified. Both cases are logged as warnings.

    Args:
        labels: `[N]` class of each row, or `None` without classes.
        n: Number of rows.
        fraction: Share of the rows in the development part, between 0 and 1,
            rounded to the nearest number of rows but at least 1.
        seed: Seed of the random choice; equal seeds give equal splits.
        stratify: Whether to keep the proportions of the classes.

    Returns:
        The training and the development indices: disjoint, ascending int64 arrays that
        together contain all N indices.

    Raises:
        DataError: if the fraction is not between 0 and 1, or there are too few rows for
            two parts.
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
    # Imported here because it is slow and most programs split nothing.
    from sklearn import model_selection

    _, dev = model_selection.train_test_split(
        rest, test_size=size, random_state=seed, stratify=strata
    )
    dev = np.sort(dev)
    return np.setdiff1d(rows, dev), dev


def text_key(text: str) -> str:
    """Return a key that ignores differences in case and white space."""
    return " ".join(text.lower().split())


def split_by_text(
    texts: Sequence[str], labels: np.ndarray, parts: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Split rows by a hash of their texts, class by class.

    Rows with the same `text_key` stay in the same part. Within a class, texts are
    sorted by the SHA-256 of their keys. The first texts fill the first part, the next
    ones the next part, and the rest is for training. So the split depends only on texts
    and labels, not on the order of rows, a seed or library versions.

    Each part gets its rounded share of a class's n rows; with shares of 0.1, a class of
    fewer than 5 rows is only in training. A text with several labels counts for its
    most frequent label (the first of equally frequent ones). All rows of a text go to a
    part that still has room for all of them.

    Args:
        texts: The N texts.
        labels: `[N]` class indices.
        parts: Share of the rows in each part other than `"train"`, in the order of
            filling.

    Returns:
        Ascending int64 row indices of `"train"` and each of `parts`. They are disjoint
        and together contain all N indices.

    Raises:
        DataError: if a part would have no rows.
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
    """Split labelled rows of one text by `split_by_text`; return parts by name.

    Raises:
        DataError: if a part would have no rows.
    """
    rows = split_by_text(examples.texts[0], examples.references, parts)
    return {name: examples.take(indices) for name, indices in rows.items()}


def _digest(key: str) -> bytes:
    # "surrogatepass" encodes lone surrogates too.
    return hashlib.sha256((_SALT + key).encode("utf-8", "surrogatepass")).digest()
