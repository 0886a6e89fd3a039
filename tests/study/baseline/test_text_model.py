"""Small text models and their hyperparameters."""

import dataclasses
import itertools

import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.study.baseline_model import (
    Hyperparameters,
    build_text_model,
    choose,
    num_trained,
)
from adapters_tf.study.baseline_tokens import TokenTable

# Index 3 is in dev rows only.
VECTORS = np.float32([[0, 0], [0, 0], [1, 2], [7, 7], [3, -4]])
ROWS = tf.ragged.constant([[2, 4], [4], [2, 1, 2]], dtype=tf.int32)
BASE = Hyperparameters(embedding="base", embedding_trained=False, embedding_dim=None)


def make_table(columns=1, vectors=VECTORS):
    rows = (ROWS,) * columns
    return TokenTable(rows, rows, size=5, num_trained=3, vectors=vectors)


def build(h, columns=1, outputs=1, seed=3, vectors=VECTORS):
    table = make_table(columns, vectors)
    return build_text_model(h, table, outputs, regression=outputs == 1, seed=seed)


def set_output(model, kernel):
    """Make the output this linear function of what comes before."""
    model.get_layer("output").kernel.assign(np.float32(kernel)[:, None])


def outputs(model, *texts):
    return model(tuple(np.array(t) for t in texts), training=False).numpy()[:, 0]


@pytest.mark.parametrize(
    "pooling, expected",
    [
        # Of the vectors (1, 2), (3, -4) and of (3, -4) alone, padding apart.
        ("mean", [[2, -1], [3, -4]]),
        ("max", [[3, 2], [3, -4]]),
    ],
)
def test_pooling(pooling, expected):
    model = build(dataclasses.replace(BASE, pooling=pooling))
    set_output(model, [1, 0.1])
    values = outputs(model, [[2, 4, 0], [4, 0, 0]])
    np.testing.assert_allclose(values, np.array(expected) @ [1, 0.1], rtol=1e-6)


def test_attention():
    model = build(dataclasses.replace(BASE, pooling="attention"))
    set_output(model, [1, 0.1])
    # Scores of 1 * 0.5 and 3 * 0.5.
    model.get_layer("encoder").attention.kernel.assign([[0.5], [0.0]])
    first = 1 / (1 + np.exp(1.0))
    expected = first * np.array([1, 2]) + (1 - first) * np.array([3, -4])
    values = outputs(model, [[2, 4, 0], [4, 0, 0]])
    np.testing.assert_allclose(values, [expected @ [1, 0.1], 2.6], rtol=1e-5)


def test_convolution():
    h = dataclasses.replace(
        BASE,
        encoder="convolution",
        filters=1,
        max_ngram=2,
        activation="relu",
        pooling="max",
    )
    model = build(h)
    set_output(model, [1, 10])
    one, two = model.get_layer("encoder").convolutions
    one.kernel.assign([[[1.0], [0.0]]])
    two.kernel.assign([[[1.0], [0.0]], [[0.0], [1.0]]])  # x of a place, y of the next
    # Places (1, 2) (3, -4): x is 1, 3; x with the next y is 1 - 4 < 0, 3 + 0.
    np.testing.assert_allclose(outputs(model, [[2, 4, 0]]), [3 + 10 * 3])
    np.testing.assert_allclose(outputs(model, [[4, 2, 0]]), [3 + 10 * 5])


def test_pairs_are_compared():
    model = build(BASE, columns=2)
    weights = [1, 2, 3, 5, 7, 11, 13, 17]
    set_output(model, weights)
    u, v = np.array([2, -1]), np.array([3, -4])
    expected = np.concatenate([u, v, abs(u - v), u * v]) @ weights
    # Of different lengths, as each column is padded by itself.
    np.testing.assert_allclose(outputs(model, [[2, 4]], [[4, 0, 0]]), [expected])


def test_wide_part_is_a_bag_of_words():
    model = build(dataclasses.replace(BASE, wide=True), columns=2)
    set_output(model, np.zeros(8))
    model.get_layer("wide").embeddings.assign([[100.0], [10], [1], [0], [2]])
    values = outputs(model, [[2, 2, 1], [4, 0, 0]], [[4, 0], [2, 0]])
    np.testing.assert_allclose(values, [1 + 1 + 10 + 2, 2 + 1])


ENCODERS = {
    "none": {},
    "convolution": {"filters": 4, "max_ngram": 3, "activation": "tanh"},
    "gru": {"units": 4},
}
EVERY = list(itertools.product(ENCODERS, ("mean", "max", "attention")))


@pytest.mark.parametrize("encoder, pooling", EVERY)
def test_padding_has_no_influence(encoder, pooling):
    h = Hyperparameters(
        encoder=encoder, pooling=pooling, wide=True, **ENCODERS[encoder]
    )
    model = build(h, vectors=None)
    alone = outputs(model, [[2, 4, 1]])
    np.testing.assert_allclose(outputs(model, [[2, 4, 1, 0, 0, 0]]), alone, rtol=1e-5)
    # The order counts, but in bags of vectors.
    turned = outputs(model, [[1, 2, 4]])
    assert np.allclose(turned, alone, rtol=1e-4) == (encoder == "none")


def fit(model, columns=1):
    x = tuple(ROWS.to_tensor() for _ in range(columns))
    model.fit(x, np.float32([1, 5, -3]), epochs=3, verbose=0, shuffle=False)


def test_frozen_vectors_stay():
    model = build(BASE)
    before = model.get_layer("output").kernel.numpy()
    fit(model)
    encoder = model.get_layer("encoder")
    np.testing.assert_array_equal(encoder.embedding.embeddings, VECTORS)
    assert np.abs(model.get_layer("output").kernel.numpy() - before).min() > 0


@pytest.mark.parametrize("wide", [False, True])
def test_only_tokens_of_training_rows_are_trained(wide):
    h = dataclasses.replace(BASE, embedding_trained=True, wide=wide, l2=0.1)
    model = build(h)
    fit(model)
    moved = model.get_layer("encoder").embedding.embeddings.numpy() != VECTORS
    assert moved.all(axis=1).tolist() == [False, True, True, False, True]
    assert moved.any(axis=1).tolist() == [False, True, True, False, True]
    if wide:
        table = model.get_layer("wide").embeddings.numpy()[:, 0]
        assert (table != 0).tolist() == [False, True, True, False, True]
    changed = moved.sum() + 3 * wide + 3
    assert num_trained(model, make_table()) == changed


@pytest.mark.parametrize(
    "h, columns, outputs, expected",
    [
        # Output 2 * 1 + 1.
        (BASE, 1, 1, 3),
        # Three rows of the wide table for three classes, output 8 * 3 + 3.
        (dataclasses.replace(BASE, wide=True), 2, 3, 3 * 3 + 27),
        # Vectors 3 * 5, hidden 5 * 7 + 7, LayerNorm 2 * 7, output 7 * 2 + 2.
        (
            Hyperparameters(
                embedding_dim=5,
                hidden_layers=1,
                hidden_units=7,
                normalization="layer",
                hidden_dropout=0.1,
                activation="relu",
            ),
            1,
            2,
            15 + 42 + 14 + 16,
        ),
        # Two convolutions 1 * 2 * 4 + 4 and 2 * 2 * 4 + 4, attention 8 + 1, output 9.
        (
            dataclasses.replace(
                BASE,
                encoder="convolution",
                filters=4,
                max_ngram=2,
                activation="relu",
                pooling="attention",
            ),
            1,
            1,
            12 + 20 + 9 + 9,
        ),
        # Both directions: 3 gates of 2 * 4 + 4 * 4, and two biases of 3 * 4.
        (
            dataclasses.replace(BASE, encoder="gru", units=4),
            1,
            1,
            2 * (3 * (8 + 16) + 24) + 9,
        ),
    ],
)
def test_number_of_trained_parameters(h, columns, outputs, expected):
    vectors = VECTORS if h.embedding == "base" else None
    model = build(h, columns, outputs, vectors=vectors)
    assert num_trained(model, make_table(columns, vectors)) == expected


@pytest.mark.parametrize("encoder", ["convolution", "gru"])
def test_seed_decides_and_global_random_state_does_not(encoder):
    h = Hyperparameters(
        embedding_dropout=0.3,
        encoder=encoder,
        encoder_dropout=0.3,
        pooling="attention",
        hidden_layers=1,
        hidden_units=4,
        normalization="batch",
        hidden_dropout=0.3,
        **{"activation": "relu", **ENCODERS[encoder]},
    )

    def weights(seed, global_seed):
        tf.random.set_seed(global_seed)
        np.random.seed(global_seed)
        model = build(h, vectors=None, seed=seed)
        before = [w.numpy() for w in model.weights]
        # Training a GRU is slow to trace, and adds no random numbers.
        if encoder != "gru":
            fit(model)
        return before + [w.numpy() for w in model.weights]

    first = weights(1, 10)
    for a, b in zip(first, weights(1, 20), strict=True):
        np.testing.assert_array_equal(a, b)
    others = zip(first, weights(2, 10), strict=True)
    # All kernels and tables of vectors; the others begin as zeros or ones.
    assert all((a != b).any() for a, b in others if a.ndim > 1 and a.any())


def test_hidden_layers_are_regularised():
    h = dataclasses.replace(
        BASE,
        hidden_layers=2,
        hidden_units=4,
        normalization="none",
        hidden_dropout=0.0,
        activation="tanh",
        l2=0.01,
    )
    model = build(h)
    kernels = [v.numpy() for v in model.trainable_variables if len(v.shape) == 2]
    assert [k.shape for k in kernels] == [(2, 4), (4, 4), (4, 1)]
    expected = 0.01 * sum((k**2).sum() for k in kernels)
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)


SOURCES = ["file", "base", "random"]
# Which hyperparameters exist only beside which value of another one.
CONDITIONS = {
    "embedding_trained": ("embedding", ("file", "base")),
    "embedding_dim": ("embedding", ("random",)),
    "filters": ("encoder", ("convolution",)),
    "max_ngram": ("encoder", ("convolution",)),
    "units": ("encoder", ("gru",)),
    "encoder_dropout": ("encoder", ("convolution", "gru")),
    "hidden_units": ("hidden_layers", (1, 2, 3)),
    "normalization": ("hidden_layers", (1, 2, 3)),
    "hidden_dropout": ("hidden_layers", (1, 2, 3)),
}


class Recorder(keras_tuner.Tuner):
    """Notes what was drawn and trains nothing."""

    def run_trial(self, trial, drawn):
        drawn.append(self.hypermodel.build(trial.hyperparameters))
        return {"score": 0.0}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    found = []
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", "max"), max_trials=100, seed=1
    )
    oracle.verbose = 0
    tuner = Recorder(
        oracle,
        hypermodel=lambda hp: choose(hp, SOURCES),
        directory=tmp_path_factory.mktemp("space"),
    )
    tuner.search(found)
    return found


@pytest.mark.parametrize("name", CONDITIONS)
def test_hyperparameters_exist_where_they_mean_something(drawn, name):
    other, values = CONDITIONS[name]
    active = [getattr(h, other) in values for h in drawn]
    assert [name in h.to_dict() for h in drawn] == active
    assert 0 < sum(active) < len(drawn)


@pytest.mark.parametrize(
    "name, values",
    [
        ("embedding", set(SOURCES)),
        ("embedding_trained", {True, False, None}),
        ("embedding_dim", {64, 128, 256, None}),
        ("encoder", {"none", "convolution", "gru"}),
        ("filters", {50, 100, 150, 200, None}),
        ("max_ngram", {2, 3, None}),
        ("units", {32, 64, 128, None}),
        ("pooling", {"mean", "max", "attention"}),
        ("hidden_layers", {0, 1, 2, 3}),
        ("hidden_units", {64, 128, 256, None}),
        ("normalization", {"none", "layer", "batch", None}),
        ("activation", {"relu", "silu", "tanh"}),
        ("l2", {0.0, 1e-5, 1e-4, 1e-3}),
        ("wide", {True, False}),
    ],
)
def test_all_values_are_drawn(drawn, name, values):
    assert {getattr(h, name) for h in drawn} == values


def test_rates(drawn):
    rates = [h.learning_rate for h in drawn]
    assert 3e-4 <= min(rates) < 6e-4 and 5e-3 < max(rates) <= 1e-2
    # Uniform in the logarithm, so half of them below the geometric mean.
    assert 30 < sum(rate < 1.73e-3 for rate in rates) < 70
