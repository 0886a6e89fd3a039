"""What is searched for."""

import keras_tuner
import pytest

from adapters_tf.study.baseline.text_model import choose

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
