"""The rows of a global batch, split over replicas."""

import numpy as np
import pytest

from adapters_tf.training.devices import split_rows


@pytest.mark.parametrize(
    ("rows", "replicas", "size", "expected", "weights"),
    [
        ([7, 8, 9], 1, None, [[7, 8, 9]], [[1, 1, 1]]),
        ([7, 8, 9, 5], 2, None, [[7, 8], [9, 5]], [[1, 1], [1, 1]]),
        ([7, 8, 9], 2, None, [[7, 8], [9, 7]], [[1, 1], [1, 0]]),
        # A replica without a row of its own still has rows to compute.
        ([7], 3, None, [[7], [7], [7]], [[1], [0], [0]]),
        ([7, 8, 9], 2, 4, [[7, 8, 9, 7], [7, 7, 7, 7]], [[1, 1, 1, 0], [0] * 4]),
    ],
)
def test_split_rows(rows, replicas, size, expected, weights):
    got_rows, got_weights = split_rows(np.array(rows), replicas, size)
    np.testing.assert_array_equal(got_rows, expected)
    np.testing.assert_array_equal(got_weights, weights)
    assert got_weights.dtype == np.float32


@pytest.mark.parametrize(("count", "size"), [(5, 2), (0, 2)])
def test_replicas_that_cannot_hold_the_rows(count, size):
    with pytest.raises(ValueError, match=f"2 replicas of 2 rows .* Received: {count}"):
        split_rows(np.arange(count), 2, size)
