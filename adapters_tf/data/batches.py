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
    by length, but for a draw that moves each row back by up to one batch, and cut into
    batches, which are shuffled again. Each row occurs exactly once. One batch of the
    last window may be smaller: which one, is drawn too.

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
        # With few rows, these would else be the same batches in every epoch.
        places = np.arange(len(rows)) + random.uniform(0, batch_size, len(rows))
        batches += _cut(rows[np.argsort(places)], batch_size, random)
    return [batches[i] for i in random.permutation(len(batches))]


def _cut(
    rows: np.ndarray, batch_size: int, random: np.random.Generator
) -> list[np.ndarray]:
    full, rest = divmod(len(rows), batch_size)
    sizes = np.full(full, batch_size)
    if rest:
        # Its rows weigh more in the mean of a batch: so not always the longest ones.
        sizes = np.insert(sizes, random.integers(full + 1), rest)
    return np.split(rows, np.cumsum(sizes)[:-1])


def eval_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """All rows, longest first, so that the largest batch is met at once."""
    rows = np.argsort(-lengths, kind="stable")
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def steps_per_epoch(num_rows: int, batch_size: int) -> int:
    """Number of batches that `train_batches` makes."""
    full, rest = divmod(num_rows, WINDOW * batch_size)
    return full * WINDOW + -(-rest // batch_size)
