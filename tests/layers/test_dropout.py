"""Dropout masks as a function of (seed, step, row, call)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.layers.dropout import Dropout, dropout_scope

RATES = [0.1, 0.5, 0.013]  # 8 bits, 8 bits, 16 bits a unit
SHAPES = [(5,), (16,), (33,), (3, 7)]  # most are no multiple of 16 bytes


def mask(shape, rate=0.1, seed=3, step=7, first_row=0, calls_before=0):
    """What dropout makes of ones."""
    layer = Dropout(rate)
    with dropout_scope(seed, step, first_row):
        for _ in range(calls_before):
            layer(tf.ones([1]), training=True)
        return layer(tf.ones(shape), training=True).numpy()


def test_is_keras_dropout_outside_a_scope():
    x = np.ones((8, 64), np.float32)
    ours, keras_own = Dropout(0.3, seed=5), keras.layers.Dropout(0.3, seed=5)
    for _ in range(2):
        np.testing.assert_array_equal(
            ours(x, training=True), keras_own(x, training=True)
        )
    np.testing.assert_array_equal(ours(x), x)


def test_does_nothing_in_inference_or_at_rate_0():
    x = np.ones((8, 64), np.float32)
    with dropout_scope(0, 0):
        np.testing.assert_array_equal(Dropout(0.5)(x, training=False), x)
        np.testing.assert_array_equal(Dropout(0.5)(x), x)
        np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)


@pytest.mark.parametrize("rate", RATES)
def test_same_place_same_mask(rate):
    np.testing.assert_array_equal(mask((8, 64), rate), mask((8, 64), rate))
    # History does not matter: other work between makes no difference.
    Dropout(rate)(tf.ones((8, 64)), training=True)
    np.testing.assert_array_equal(mask((8, 64), rate), mask((8, 64), rate))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    "other", [{"seed": 4}, {"step": 8}, {"calls_before": 1}, {"first_row": 8}]
)
def test_other_place_other_mask(rate, other):
    assert (mask((8, 640), rate) != mask((8, 640), rate, **other)).any()


def test_every_row_of_a_run_has_a_mask_of_its_own():
    rows = [
        tuple(row)
        for seed in (0, 1)
        for step in (0, 1, 2, 65535, 65536)
        for calls in (0, 1, 2)
        for row in mask((8, 128), 0.5, seed, step, calls_before=calls)
    ]
    assert len(set(rows)) == len(rows) == 2 * 5 * 3 * 8


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("split", [1, 3, 5])
def test_shares_of_a_batch_have_the_masks_of_the_whole(rate, shape, split):
    whole = mask((8, *shape), rate)
    shares = [
        mask((split, *shape), rate),
        mask((8 - split, *shape), rate, first_row=tf.constant(split)),
    ]
    np.testing.assert_array_equal(np.concatenate(shares), whole)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla_draw_the_eager_masks(rate, jit_compile):
    layer = Dropout(rate)

    @tf.function(jit_compile=jit_compile)
    def run(x, seed, step, first_row):
        with dropout_scope(seed, step, first_row):
            return layer(x, training=True), layer(x, training=True)

    for step, first_row in ((7, 0), (70000, 5)):
        masks = run(tf.ones((8, 33)), *(tf.constant(i) for i in (3, step, first_row)))
        for i, graph_mask in enumerate(masks):
            np.testing.assert_array_equal(
                graph_mask,
                mask((8, 33), rate, 3, step, first_row, calls_before=i),
            )


@pytest.mark.parametrize("rate", [*RATES, 0.9])
def test_keep_rate_and_expectation(rate):
    units = mask((100, 10000), rate)
    kept = (units > 0).mean()
    bits = 16 if rate == 0.013 else 8
    rounded = round(rate * 2**bits) / 2**bits
    assert rounded == pytest.approx(rate, rel=0.02)
    assert kept == pytest.approx(1 - rounded, abs=5 * (rate / units.size) ** 0.5)
    np.testing.assert_array_equal(np.unique(units), np.float32([0, 1 / (1 - rounded)]))
    # No place is special.
    for axis in (0, 1):
        share = (units > 0).mean(axis=axis)
        n = units.shape[axis]
        spread = (rounded * (1 - rounded) / n) ** 0.5
        assert share.std() == pytest.approx(spread, rel=0.3)


@pytest.mark.parametrize("rate", [0.999, 0.9999999])
def test_rates_near_1(rate):
    units = mask((200, 10000), rate)
    assert np.isfinite(units).all()
    assert (units > 0).mean() < 0.002
    if rate == 0.999:
        assert units.mean() == pytest.approx(1, abs=0.15)


def test_rate_1_is_keras_own():
    np.testing.assert_array_equal(mask((2, 8), 1.0), np.zeros((2, 8)))


@pytest.mark.parametrize("seed", [0, -1, 2**33])
def test_any_integer_is_a_seed(seed):
    assert {0.0, 2.0} == set(np.unique(mask((8, 64), 0.5, seed)))


def test_gradient_is_the_mask():
    layer, x = Dropout(0.1), tf.Variable(tf.fill((8, 33), 3.0))
    with tf.GradientTape() as tape, dropout_scope(3, 7):
        y = layer(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), mask((8, 33)))
    np.testing.assert_allclose(y, 3 * mask((8, 33)))


def test_mask_does_not_depend_on_the_dtype():
    with dropout_scope(3, 7):
        layer = Dropout(0.1, dtype="mixed_bfloat16")
        half = layer(tf.ones((8, 33), tf.bfloat16), training=True)
    assert half.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(half, tf.float32) > 0, mask((8, 33)) > 0)


def test_scopes_nest_and_end():
    layer, x = Dropout(0.5, seed=1), tf.ones((8, 64))
    with dropout_scope(0, 0):
        first = layer(x, training=True).numpy()
        with dropout_scope(0, 0):
            np.testing.assert_array_equal(layer(x, training=True), first)
        second = layer(x, training=True).numpy()
        assert (first != second).any()
    with pytest.raises(RuntimeError, match="stop"), dropout_scope(0, 0):
        raise RuntimeError("stop")
    expected = keras.layers.Dropout(0.5, seed=1)(x, training=True)
    np.testing.assert_array_equal(layer(x, training=True), expected)


def test_config_round_trip():
    layer = keras.layers.deserialize(keras.layers.serialize(Dropout(0.2, seed=3)))
    assert type(layer) is Dropout
    assert (layer.rate, layer.seed) == (0.2, 3)
