"""A global batch's rows over the replicas of a strategy."""

import numpy as np


def split_rows(
    rows: np.ndarray, num_replicas: int, size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Consecutive shares of one size, filled up where the rows run out.

    A share is filled with the batch's first row at weight 0, so that every replica
    has the same number of real-looking rows (no empty share, no row without tokens),
    and the place of a row, `replica * size + i`, is that on one device.

    Args:
        rows: `[n]` row indices, at least one.
        num_replicas: Number of shares.
        size: Rows of a share; by default as few as hold all.

    Returns:
        `[num_replicas, size]` row indices and float32 weights: 1, or 0 where
        filled.

    Raises:
        ValueError: if the shares cannot hold the rows.
    """
    size = size or -(-len(rows) // num_replicas)
    total = num_replicas * size
    if not 0 < len(rows) <= total:
        raise ValueError(
            f"{num_replicas} shares of {size} rows must hold from 1 to {total} rows. "
            f"Received: {len(rows)}"
        )
    filled = np.concatenate([rows, np.repeat(rows[:1], total - len(rows))])
    weights = (np.arange(total) < len(rows)).astype(np.float32)
    shape = (num_replicas, size)
    return filled.reshape(shape), weights.reshape(shape)
