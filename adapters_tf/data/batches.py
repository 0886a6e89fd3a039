"""Which rows go into which batch: a pure function of (seed, epoch)."""

import numpy as np

# Batches that are sorted by length together. The larger, the less padding and
# the less random the order: a row's batch-mates come from this many batches.
WINDOW = 32


def train_batches(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """The batches of one epoch: shuffled, with rows of like length together.

    All rows are shuffled; windows of `WINDOW` batches of that order are sorted
    by length and cut into batches, and these are shuffled again. Each row
    occurs exactly once; the last batch made may be smaller.

    Args:
        lengths: `[N]` numbers of tokens.
        batch_size: Rows a batch.
        seed: The run's seed.
        epoch: The epoch, from 0.

    Returns:
        Row indices of each batch, in the order of the steps. The same for the
        same arguments, so a run can resume in the middle of an epoch.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    window = WINDOW * batch_size
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def eval_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """All rows, longest first, so that the largest batch is met at once."""
    rows = np.argsort(-lengths, kind="stable")
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def steps_per_epoch(num_rows: int, batch_size: int) -> int:
    """Number of batches that `train_batches` makes."""
    full, rest = divmod(num_rows, WINDOW * batch_size)
    return full * WINDOW + -(-rest // batch_size)
