"""Tokenised rows, kept without padding."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras_hub
import numpy as np
import tensorflow as tf

from adapters_tf.data.examples import Examples
from adapters_tf.models.presets import preprocess_texts

_CHUNK = 1024  # rows tokenised at a time: bounds the padded intermediate


@dataclasses.dataclass(frozen=True)
class Features:
    """N tokenised rows, end to end.

    Attributes:
        token_ids: `[total tokens]` int32, special tokens included.
        segment_ids: `[total tokens]` int32: 0 for the first text, 1 for the
            second.
        offsets: `[N + 1]` int64: row `i` is `offsets[i]:offsets[i + 1]`.
        labels: `[N, ...]` labels, or `None`.
        num_truncated: Rows whose texts did not fit and were cut.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray | None = None
    num_truncated: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """`[N]` numbers of tokens."""
        return np.diff(self.offsets)

    def batch(
        self, rows: np.ndarray, multiple: int = 8, length: int | None = None
    ) -> dict[str, np.ndarray]:
        """The model's inputs for these rows, padded to their longest.

        Args:
            rows: Row indices.
            multiple: Round the padded length up to a multiple of this.
            length: Pad to this instead.

        Returns:
            `token_ids`, `segment_ids`, `padding_mask`: `[rows, length]` int32.
        """
        if length is None:
            length = -(-int(self.lengths[rows].max()) // multiple) * multiple
        shape = (len(rows), length)
        token_ids, segment_ids = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        padding_mask = np.zeros(shape, np.int32)
        for i, row in enumerate(rows):
            piece = slice(self.offsets[row], self.offsets[row + 1])
            n = piece.stop - piece.start
            token_ids[i, :n] = self.token_ids[piece]
            segment_ids[i, :n] = self.segment_ids[piece]
            padding_mask[i, :n] = 1
        return {
            "token_ids": token_ids,
            "segment_ids": segment_ids,
            "padding_mask": padding_mask,
        }


def tokenize(
    examples: Examples, preprocessor: keras_hub.models.TextClassifierPreprocessor
) -> Features:
    """Tokenise once, with keras-hub's preprocessor.

    Args:
        examples: The rows.
        preprocessor: From `load_preprocessor`; its `sequence_length` is the
            longest row.

    Returns:
        The rows' features, in their order, with the examples' labels.
    """
    token_ids, segment_ids, lengths = [], [], []
    num_truncated = 0
    for columns in _chunks(examples.texts):
        texts = tuple(tf.constant(column) for column in columns)
        packed = preprocess_texts(preprocessor, texts if len(texts) > 1 else texts[0])
        mask = packed["padding_mask"].numpy().astype(bool)
        token_ids.append(packed["token_ids"].numpy()[mask])
        segment_ids.append(packed["segment_ids"].numpy()[mask])
        lengths.append(mask.sum(axis=1))
        full = np.flatnonzero(lengths[-1] >= preprocessor.sequence_length)
        num_truncated += _count_cut(columns, full, preprocessor)
    return Features(
        token_ids=np.concatenate(token_ids).astype(np.int32),
        segment_ids=np.concatenate(segment_ids).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        labels=examples.labels,
        num_truncated=num_truncated,
    )


def _chunks(texts: Any) -> Iterator[tuple[list[str], ...]]:
    for start in range(0, len(texts[0]), _CHUNK):
        yield tuple(list(c[start : start + _CHUNK]) for c in texts)


def _count_cut(columns: Any, rows: np.ndarray, preprocessor: Any) -> int:
    """How many of these full rows had more tokens than fit."""
    if not len(rows):
        return 0
    needed = np.full(len(rows), len(columns) + 1)  # [CLS], a [SEP] after each text
    for column in columns:
        texts = [column[row] for row in rows]
        needed += [len(tokens) for tokens in preprocessor.tokenizer(texts)]
    return int((needed > preprocessor.sequence_length).sum())
