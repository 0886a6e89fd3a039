"""Tokenised rows, kept without padding."""

import dataclasses

import numpy as np


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
