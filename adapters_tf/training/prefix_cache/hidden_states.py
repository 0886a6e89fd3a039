"""Rows as the hidden states under a model's lowest trained block."""

import functools
from collections.abc import Iterator, Sequence

import ml_dtypes
import numpy as np
import tensorflow as tf
from absl import logging

from adapters_tf.models.features import Features, padded_length
from adapters_tf.models.frozen_prefix import HIDDEN_STATES, PADDING_MASK, FrozenPrefix
from adapters_tf.training.prefix_cache.row_keys import RowKeys
from adapters_tf.training.prefix_cache.store import Store, StoreFailed

_BATCH = 32
_MULTIPLE = 8  # of tokens
_TOKENS = tf.TensorSpec([None, None], tf.int32)


class HiddenStatesComputer:
    """Computes rows' hidden states, each as if it were the only row, and names them.

    Batches have one size and rows of like length alone, so that a row's numbers do
    not depend on the rows beside it: a run that goes on, or reads some rows and
    computes others, has the same bits.

    Args:
        prefix: The model, cut. What lies below must stay as it is, as no method of
            tuning trains it: its graph is traced once, and its weights are hashed once.
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
        )

    @functools.cached_property
    def keys(self) -> RowKeys:
        """Names rows' hidden states; see `RowKeys`."""
        return RowKeys(self.prefix)

    def __call__(
        self, features: Features, rows: Sequence[int]
    ) -> Iterator[list[tuple[int, bytes]]]:
        """The hidden states of these rows, some of them at a time.

        Yields:
            Row indices with the bytes of `[tokens, d]` numbers.
        """
        lengths = -(-features.lengths // _MULTIPLE) * _MULTIPLE
        lengths = np.minimum(lengths, self._positions or lengths)
        order = np.asarray(sorted(rows, key=lambda row: lengths[row]), np.int64)
        for length in np.unique(lengths[order]):
            alike = order[lengths[order] == length]
            for start in range(0, len(alike), _BATCH):
                some = alike[start : start + _BATCH]
                filled = np.concatenate([some, np.repeat(some[:1], _BATCH - len(some))])
                x = features.batch(filled, length=int(length))
                states = self._run(x).numpy()
                yield [
                    (int(row), states[i, : features.lengths[row]].tobytes())
                    for i, row in enumerate(some)
                ]


class HiddenStates:
    """N rows, in the place of `Features`, whose batches are hidden states.

    Args:
        features: The rows.
        keys: Their names in the store.
        store: Where their hidden states are. What is not there, or not intact, is
            computed.
        compute: Computes them.

    Attributes:
        features: The rows.
        prefix: The model, cut; its `upper` takes the batches.
    """

    def __init__(
        self,
        features: Features,
        keys: Sequence[bytes],
        store: Store,
        compute: HiddenStatesComputer,
    ) -> None:
        self.features = features
        self.prefix = compute.prefix
        self._keys = keys
        self._store: Store | None = store
        self._compute = compute

    def __len__(self) -> int:
        return len(self.features)

    @property
    def lengths(self) -> np.ndarray:
        """`[N]` numbers of tokens."""
        return self.features.lengths

    @property
    def labels(self) -> np.ndarray | None:
        """`[N, ...]` labels, or `None`."""
        return self.features.labels

    def batch(
        self, rows: np.ndarray, length: int | None = None
    ) -> dict[str, np.ndarray]:
        """The inputs of `prefix.upper` for these rows, padded with zeros.

        Args:
            rows: Row indices.
            length: Padded length; by default `padded_length` of these rows.

        Returns:
            `hidden_states`: `[rows, length, d]` in the model's compute dtype;
            `padding_mask`: `[rows, length]` int32.
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
        """The form of a batch; see `Features.specs`."""
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
        for some in self._compute(self.features, absent):
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


def prefix_of(rows: Features | HiddenStates) -> FrozenPrefix | None:
    """The cut model whose `upper` takes the rows' batches; `None` for tokens."""
    return rows.prefix if isinstance(rows, HiddenStates) else None
