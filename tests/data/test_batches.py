"""Batches: every row once, a pure function of (seed, epoch), little padding."""

import numpy as np

from adapters_tf.data.batches import eval_batches, steps_per_epoch, train_batches
from adapters_tf.models.features import Features

LENGTHS = np.random.default_rng(0).integers(3, 60, 3001)


def test_every_row_occurs_once_in_the_promised_number_of_steps():
    for n, size in ((3001, 32), (1024, 32), (31, 32), (1, 4), (3001, 7)):
        batches = train_batches(LENGTHS[:n], size, seed=1, epoch=0)
        assert sorted(np.concatenate(batches).tolist()) == list(range(n))
        assert len(batches) == steps_per_epoch(n, size)
        assert max(map(len, batches)) <= size


def test_order_follows_from_seed_and_epoch_alone():
    def order(seed, epoch):
        return np.concatenate(train_batches(LENGTHS, 32, seed, epoch)).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_rows_of_like_length_share_a_batch_and_the_order_stays_random():
    batches = train_batches(LENGTHS, 32, seed=0, epoch=0)
    padded = sum(LENGTHS[b].max() * len(b) for b in batches)
    assert LENGTHS.sum() / padded > 0.9
    # Lengths of successive batches are unrelated: no curriculum by length.
    longest = np.array([LENGTHS[b].max() for b in batches], float)
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.35


def test_how_often_batch_mates_meet_again():
    # As docs/performance.md says.
    lengths = np.random.default_rng(0).lognormal(3, 0.5, 1000).astype(int)
    places = np.empty((2, 1000), int)
    for epoch, place in enumerate(places):
        for i, rows in enumerate(train_batches(lengths, 32, 0, epoch)):
            place[rows] = i
    met = [np.equal.outer(place, place) & ~np.eye(1000, dtype=bool) for place in places]
    again = (met[0] & met[1]).sum() / met[0].sum()
    assert 0.35 < again < 0.45


def test_few_rows_meet_others_in_each_epoch():
    # All lengths differ: sorted strictly, the batches would be the same ones each time.
    epochs = [train_batches(np.arange(3, 103), 32, 0, epoch) for epoch in range(1000)]
    short = [next(b for b in batches if len(b) == 4) for batches in epochs]
    # A fair draw puts each row into the short batch in 1 of 25 epochs, 40 in all. The
    # shortest and longest are there more often, but not in all 1,000.
    times = np.bincount(np.concatenate(short), minlength=100)
    assert 5 <= times.min() and times.max() <= 160 and len(epochs[0]) == 4
    one, other = (
        {frozenset(b.tolist()) for b in batches if len(b) > 4} for batches in epochs[:2]
    )
    assert not one & other


def test_eval_batches_start_with_the_longest():
    batches = eval_batches(LENGTHS, 64)
    assert sorted(np.concatenate(batches).tolist()) == list(range(3001))
    assert LENGTHS[batches[0]].max() == LENGTHS.max()


def test_padding_by_hand():
    features = Features(
        token_ids=np.array([2, 5, 3, 2, 6, 7, 3], np.int32),
        segment_ids=np.array([0, 0, 0, 0, 0, 1, 1], np.int32),
        offsets=np.array([0, 3, 7]),
    )
    batch = features.batch(np.array([1, 0]), multiple=1)
    assert batch["token_ids"].tolist() == [[2, 6, 7, 3], [2, 5, 3, 0]]
    assert batch["segment_ids"].tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]
    assert batch["padding_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert features.batch(np.array([0]))["token_ids"].shape == (1, 8)
    assert features.batch(np.array([0]), length=5)["token_ids"].shape == (1, 5)
