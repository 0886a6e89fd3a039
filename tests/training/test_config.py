"""Settings that depend on the rows."""

import pytest

from adapters_tf.training.config import TrainConfig, default_epochs


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs"),
    [
        (1, 32, 20),
        (500, 32, 20),  # 16 steps an epoch
        (1000, 32, 10),  # 32
        (1000, 16, 6),  # 63
        (3392, 32, 4),  # 106
        (3393, 32, 3),  # 107
        (67349, 32, 3),
    ],
)
def test_few_rows_are_read_more_often(rows, batch_size, epochs):
    assert default_epochs(rows, batch_size) == epochs


def test_of_many_rows_it_is_the_epochs_of_the_settings():
    assert default_epochs(10**6, 32) == TrainConfig().epochs
