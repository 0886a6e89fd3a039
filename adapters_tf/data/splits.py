"""Splitting rows into training and development ones."""

from collections.abc import Hashable, Iterable

import numpy as np
from absl import logging

from adapters_tf.errors import DataError


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
