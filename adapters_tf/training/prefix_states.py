"""Hidden states under a model's lowest trained block: computed, named and read."""

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence

import ml_dtypes
import numpy as np
import tensorflow as tf
from absl import logging

from adapters_tf.models.features import Features, ModelInputs, padded_length
from adapters_tf.models.fingerprint import prefix_fingerprint
from adapters_tf.models.frozen_prefix import HIDDEN_STATES, PADDING_MASK, FrozenPrefix
from adapters_tf.training.prefix_stores import Store, StoreFailed

# Part of each row's key. Raise it when the hidden states of a row, or the way they are
# stored, change.
FORMAT = 1
_BATCH = 32
_MULTIPLE = 8  # of tokens
_TOKENS = tf.TensorSpec([None, None], tf.int32)


class RowKeys:
    """Gives each row a key of 20 bytes, by which its hidden states are stored.

    The key is a hash of all that the hidden states depend on: the base's weights below
    the cut, the number of blocks, the dtype, the kind of device, and the row's tokens.
    The tokens stand for the text, the tokenizer and the longest input, so equal rows
    share a key across files and tasks.

    Args:
        prefix: The cut model. Its weights below the cut are read once, here.
    """

    def __init__(self, prefix: FrozenPrefix) -> None:
        about = {
            "format": FORMAT,
            "base": prefix_fingerprint(prefix.model.backbone, prefix.num_blocks),
            "num_blocks": prefix.num_blocks,
            "dtype": prefix.dtype,
            "device": _device(),
        }
        text = json.dumps(about, sort_keys=True)
        self._start = hashlib.blake2b(text.encode(), digest_size=20)

    def __call__(self, tokens: Features) -> list[bytes]:
        """The keys of the rows, in order."""
        keys, ends = [], tokens.offsets
        for first, last in zip(ends[:-1], ends[1:], strict=True):
            digest = self._start.copy()
            digest.update(tokens.token_ids[first:last].tobytes())
            if tokens.segment_ids is not None:
                digest.update(tokens.segment_ids[first:last].tobytes())
            keys.append(digest.digest())
        return keys


def _device() -> str:
    # Devices differ in the precision of their products.
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    details = tf.config.experimental.get_device_details(gpus[0])
    return details.get("device_name", "GPU")


class HiddenStatesComputer:
    """Computes the hidden states of rows, each as if it were the only row.

    All batches have one size, and all rows of a batch one padded length, so the numbers
    of a row do not depend on the rows beside it. A run that is resumed, or that reads
    some rows and computes others, gets the same bits.

    Args:
        prefix: The cut model. The part below the cut must not change: its graph is
            traced once and its weights are hashed once.

    Attributes:
        prefix: The cut model.
        dtype: NumPy dtype of the hidden states.
    """

    def __init__(self, prefix: FrozenPrefix) -> None:
        self.prefix = prefix
        self._positions = getattr(prefix.model.backbone, "max_sequence_length", None)
        self.dtype = np.dtype(
            ml_dtypes.bfloat16 if prefix.dtype == "bfloat16" else prefix.dtype
        )

        self._run = tf.function(
            lambda x: prefix.lower(x, training=False),
            input_signature=[{name: _TOKENS for name in prefix.lower.input}],
            autograph=False,
        )

    @functools.cached_property
    def keys(self) -> RowKeys:
        """Function from rows to the keys of their hidden states; see `RowKeys`."""
        return RowKeys(self.prefix)

    def __call__(
        self, tokens: Features, rows: Sequence[int]
    ) -> Iterator[list[tuple[int, bytes]]]:
        """Compute the hidden states of these rows, one batch at a time.

        Args:
            tokens: N rows.
            rows: Indices of the rows to compute.

        Yields:
            Pairs of a row's index and the bytes of its `[tokens, d]` hidden states.
        """
        lengths = -(-tokens.lengths // _MULTIPLE) * _MULTIPLE
        lengths = np.minimum(lengths, self._positions or lengths)
        order = np.asarray(sorted(rows, key=lambda row: lengths[row]), np.int64)
        for length in np.unique(lengths[order]):
            alike = order[lengths[order] == length]
            for start in range(0, len(alike), _BATCH):
                some = alike[start : start + _BATCH]
                filled = np.concatenate([some, np.repeat(some[:1], _BATCH - len(some))])
                x = tokens.batch(filled, length=int(length))
                states = self._run(x).numpy()
                yield [
                    (int(row), states[i, : tokens.lengths[row]].tobytes())
                    for i, row in enumerate(some)
                ]


class HiddenStates(ModelInputs):
    """N rows whose batches are hidden states, read from a store.

    Args:
        tokens: The rows.
        keys: The key of each row in the store.
        store: Holds their hidden states. Those that it lacks, or holds damaged, are
            computed and put there.
        compute: Computes hidden states.
    """

    def __init__(
        self,
        tokens: Features,
        keys: Sequence[bytes],
        store: Store,
        compute: HiddenStatesComputer,
    ) -> None:
        self._tokens = tokens
        self._keys = keys
        self._store: Store | None = store
        self._compute = compute

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def lengths(self) -> np.ndarray:
        """`[N]` numbers of tokens."""
        return self._tokens.lengths

    @property
    def labels(self) -> np.ndarray | None:
        """`[N, ...]` labels, or `None`."""
        return self._tokens.labels

    @property
    def tokens(self) -> Features:
        """The tokens of the rows."""
        return self._tokens

    @property
    def prefix(self) -> FrozenPrefix:
        """The cut model, whose `upper` part reads the batches."""
        return self._compute.prefix

    def batch(
        self, rows: np.ndarray, length: int | None = None
    ) -> dict[str, np.ndarray]:
        """The inputs of `prefix.upper` for these rows, padded with zeros.

        Args:
            rows: `[n]` row indices.
            length: Padded length; by default `padded_length` of these rows.

        Returns:
            `hidden_states`: `[n, length, d]` in the model's compute dtype;
            `padding_mask`: `[n, length]` int32.
        """
        if length is None:
            length = padded_length(self.lengths[rows])
        dim = self.prefix.hidden_dim
        states = np.zeros((len(rows), length, dim), self._compute.dtype)
        mask = np.zeros((len(rows), length), np.int32)
        for i, value in enumerate(self._read(rows)):
            n = self.lengths[rows[i]]
            states[i, :n] = np.frombuffer(value, states.dtype).reshape(n, dim)
            mask[i, :n] = 1
        return {HIDDEN_STATES: states, PADDING_MASK: mask}

    def specs(
        self, rows: int | None = None, length: int | None = None
    ) -> dict[str, tf.TensorSpec]:
        """See `ModelInputs.specs`."""
        dim, dtype = self.prefix.hidden_dim, self.prefix.dtype
        return {
            HIDDEN_STATES: tf.TensorSpec([rows, length, dim], dtype),
            PADDING_MASK: tf.TensorSpec([rows, length], tf.int32),
        }

    def _read(self, rows: np.ndarray) -> list[bytes]:
        found: list[bytes | None] = [None] * len(rows)
        if self._store is not None:
            try:
                found = self._store.get([self._keys[row] for row in rows])
            except StoreFailed as error:
                self._give_up(error)
        absent = sorted({int(r) for r, v in zip(rows, found, strict=True) if v is None})
        if not absent:
            return found  # type: ignore[return-value]
        computed: dict[int, bytes] = {}
        for some in self._compute(self._tokens, absent):
            computed.update(some)
        if self._store is not None:
            try:
                self._store.put((self._keys[r], v) for r, v in computed.items())
            except StoreFailed as error:
                self._give_up(error)
        return [
            computed[int(row)] if value is None else value
            for row, value in zip(rows, found, strict=True)
        ]

    def _give_up(self, error: StoreFailed) -> None:
        self._store = None
        logging.warning("The hidden states are not kept any more: %s", error)
