"""Three ways to make batches of shuffled rows, and how much each of them pads."""

from typing import Any

import numpy as np

from adapters_tf.data.batches import train_batches
from adapters_tf.models.features import padded_length

BUCKETED = "rows of like length together"
LONGEST = "each batch to its longest row"
PADDED = "every row to the longest input"
WAYS = (BUCKETED, LONGEST, PADDED)


def way_batches(
    way: str, lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """The batches of one epoch.

    Args:
        way: `BUCKETED` as in training; the other two shuffle all rows and cut.
        lengths: `[N]` numbers of tokens.
        batch_size: Rows a batch.
        seed: Of the order.
        epoch: From 0.

    Returns:
        Row indices of each batch, in the order of the steps.
    """
    if way == BUCKETED:
        return train_batches(lengths, batch_size, seed, epoch)
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def way_length(way: str, lengths: np.ndarray, seq_length: int) -> int:
    """What the rows of one batch are padded to.

    Args:
        way: One of `WAYS`.
        lengths: `[B]` tokens of the batch's rows.
        seq_length: The longest input.
    """
    return seq_length if way == PADDED else padded_length(lengths, most=seq_length)


def measure_fill(
    lengths: np.ndarray, batch_size: int, seq_length: int, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """How much of what each way computes is no padding.

    Args:
        lengths: `[N]` numbers of tokens.
        batch_size: Rows a batch.
        seq_length: The longest input.
        seed: Of the order.

    Returns:
        Way -> `steps` and `padded_tokens` of an epoch, and `fill`: tokens by padded
        tokens.
    """
    found = {}
    for way in WAYS:
        batches = way_batches(way, lengths, batch_size, seed, 0)
        padded = sum(
            len(rows) * way_length(way, lengths[rows], seq_length) for rows in batches
        )
        found[way] = {
            "steps": len(batches),
            "padded_tokens": int(padded),
            "fill": float(lengths.sum() / padded),
        }
    return found
