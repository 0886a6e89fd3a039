"""Model inputs: rows in batches, and tokenised rows stored without padding."""

import abc
import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from adapters_tf.models.frozen_prefix import FrozenPrefix

INPUTS = ("token_ids", "segment_ids", "padding_mask")


def padded_length(
    lengths: np.ndarray, multiple: int = 8, most: int | None = None
) -> int:
    """Return the padded length of a batch, chosen so that few shapes are traced.

    Args:
        lengths: `[N]`, N above 0.
        multiple: Round the longest up to a multiple of this.
        most: Upper limit: the base's number of positions, or `None` for no limit.
    """
    length = -(-int(lengths.max()) // multiple) * multiple
    return length if most is None else min(length, most)


class ModelInputs(abc.ABC):
    """N rows that training and prediction read in batches.

    `Features` holds tokens, the input of the whole model. `HiddenStates` (of the prefix
    cache) holds the outputs of the model's frozen lowest blocks, the input of the rest
    of the model.
    """

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @property
    @abc.abstractmethod
    def lengths(self) -> np.ndarray:
        """`[N]` numbers of tokens."""

    @property
    @abc.abstractmethod
    def labels(self) -> np.ndarray | None:
        """`[N, ...]` labels, or `None`."""

    @property
    @abc.abstractmethod
    def tokens(self) -> "Features":
        """Return the tokens of the rows."""

    @property
    @abc.abstractmethod
    def prefix(self) -> "FrozenPrefix | None":
        """Return the cut model whose `upper` part reads the batches.

        `None` if the whole model reads them.
        """

    @abc.abstractmethod
    def batch(
        self, rows: np.ndarray, length: int | None = None
    ) -> dict[str, np.ndarray]:
        """Build the model's inputs for these rows.

        Args:
            rows: `[n]` row indices.
            length: The padded length; by default `padded_length` of these rows.

        Returns:
            Arrays `[n, length, ...]` by the name of the input.
        """

    @abc.abstractmethod
    def specs(
        self, rows: int | None = None, length: int | None = None
    ) -> "dict[str, tf.TensorSpec]":
        """Return the shapes and dtypes of a batch, for `tf.function`.

        Args:
            rows: Rows of a batch, if the same for all batches.
            length: Padded length, if the same for all batches.
        """


@dataclasses.dataclass(frozen=True)
class Features(ModelInputs):
    """N tokenised rows, concatenated without padding.

    Attributes:
        token_ids: `[total tokens]` int32, special tokens included.
        segment_ids: `[total tokens]` int32: 0 for the first text, 1 for the
            second. `None` if the base reads none.
        offsets: `[N + 1]` int64: row `i` is `offsets[i]:offsets[i + 1]`.
        labels: `[N, ...]` labels, or `None`.
        num_truncated: Rows whose texts did not fit and were cut.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray | None
    offsets: np.ndarray
    labels: np.ndarray | None = None
    num_truncated: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """`[N]` numbers of tokens."""
        return np.diff(self.offsets)

    @property
    def tokens(self) -> "Features":
        """Return these rows."""
        return self

    @property
    def prefix(self) -> None:
        """`None`: the whole model reads tokens."""
        return None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the model's inputs."""
        if self.segment_ids is not None:
            return INPUTS
        return tuple(name for name in INPUTS if name != "segment_ids")

    def batch(
        self, rows: np.ndarray, length: int | None = None, multiple: int = 8
    ) -> dict[str, np.ndarray]:
        """Build the model's inputs for these rows, padded to the longest.

        Args:
            rows: `[n]` row indices.
            length: Pad to this length.
            multiple: Without `length`, round the longest up to a multiple of this.

        Returns:
            `token_ids`, `segment_ids` if the base reads them, and `padding_mask`:
            `[n, length]` int32.
        """
        if length is None:
            length = padded_length(self.lengths[rows], multiple)
        shape = (len(rows), length)
        x = {name: np.zeros(shape, np.int32) for name in self.inputs}
        for i, row in enumerate(rows):
            piece = slice(self.offsets[row], self.offsets[row + 1])
            n = piece.stop - piece.start
            x["token_ids"][i, :n] = self.token_ids[piece]
            if self.segment_ids is not None:
                x["segment_ids"][i, :n] = self.segment_ids[piece]
            x["padding_mask"][i, :n] = 1
        return x

    def specs(
        self, rows: int | None = None, length: int | None = None
    ) -> "dict[str, tf.TensorSpec]":
        """See `ModelInputs.specs`."""
        import tensorflow as tf

        return {name: tf.TensorSpec([rows, length], tf.int32) for name in self.inputs}
