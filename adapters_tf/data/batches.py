"""Assign rows to batches: a pure function of (seed, epoch)."""

import numpy as np

# Number of batches sorted by length together. Larger windows give less padding but a
# less random order: the rows of a batch come from this many batches.
WINDOW = 32


def train_batches(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Make the shuffled batches of one epoch, with rows of similar length together.

    This shuffles all rows, sorts each window of `WINDOW` batches by length (with random
    shifts of up to one batch), cuts the windows into batches, and shuffles the batches.
    Each row occurs exactly once. One random batch of the last window may be smaller.

    Args:
        lengths: `[N]` numbers of tokens.
        batch_size: Rows per batch.
        seed: The run's seed.
        epoch: The epoch, from 0.

    Returns:
        Row indices of each batch, in step order. Equal arguments give equal results, so
        a run can resume in the middle of an epoch.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    window = WINDOW * batch_size
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        # Without random shifts, few rows would give the same batches in every epoch.
        places = np.arange(len(rows)) + random.uniform(0, batch_size, len(rows))
        batches += _cut(rows[np.argsort(places)], batch_size, random)
    return [batches[i] for i in random.permutation(len(batches))]


def _cut(
    rows: np.ndarray, batch_size: int, random: np.random.Generator
) -> list[np.ndarray]:
    full, rest = divmod(len(rows), batch_size)
    sizes = np.full(full, batch_size)
    if rest:
        # Rows of the smaller batch weigh more, so do not always pick the longest.
        sizes = np.insert(sizes, random.integers(full + 1), rest)
    return np.split(rows, np.cumsum(sizes)[:-1])


def eval_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batch all rows, longest first, so that memory errors occur at once."""
    rows = np.argsort(-lengths, kind="stable")
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def steps_per_epoch(num_rows: int, batch_size: int) -> int:
    """Return the number of batches that `train_batches` makes."""
    full, rest = divmod(num_rows, WINDOW * batch_size)
    return full * WINDOW + -(-rest // batch_size)
