"""One trained model of the search."""

import keras
import numpy as np
import pytest

from adapters_tf.study import baseline_trial as trial_lib
from adapters_tf.study.baseline_model import Hyperparameters, TextEncoder
from adapters_tf.study.baseline_tokens import piece_table, word_table
from adapters_tf.study.baseline_trial import run_trial


def run(data, h, epochs=10, table=None, seed=0):
    table = table or word_table(data, 32)
    return run_trial(data, table, h, epochs, 16, seed)


def test_a_keyword_is_found(keyword_data):
    h = Hyperparameters(learning_rate=1e-2)
    trial = run(keyword_data, h)
    assert trial.dev == {"accuracy": 1.0, "f1_macro": 1.0}
    assert trial.predictions == keyword_data.dev.labels.tolist()
    assert trial.hyperparameters == h.to_dict()
    assert trial.score == 1.0
    assert trial.epochs == min(10, trial.epoch + trial_lib.PATIENCE)


def test_base_vectors_are_enough(keyword_data, tiny_preset):
    h = Hyperparameters(
        embedding="base",
        embedding_trained=False,
        embedding_dim=None,
        learning_rate=0.1,
    )
    table = piece_table(keyword_data, tiny_preset, 32)
    trial = run(keyword_data, h, table=table)
    assert trial.dev["accuracy"] > 0.9
    # The output alone: 16 numbers of each text for two classes.
    assert trial.trained_parameters == 16 * 2 + 2


def test_numbers(number_data):
    h = Hyperparameters(wide=True, learning_rate=3e-2)
    trial = run(number_data, h, epochs=15)
    assert trial.dev["pearson"] > 0.95
    # In the labels' own scale: their standard deviation is 11 around 115.
    errors = np.array(trial.predictions) - number_data.dev.labels
    assert np.abs(errors).mean() < 6


def test_pairs(pair_data):
    h = Hyperparameters(pooling="max", learning_rate=1e-2)
    trial = run(pair_data, h, epochs=15)
    assert trial.dev["accuracy"] == 1.0


@pytest.mark.parametrize(
    "scores, best, epochs",
    [
        # Equal is no better; three epochs without a better one are the last.
        ([0.5, 0.7, 0.6, 0.7, 0.6, 0.9], 2, 5),
        # It rises in time, and then there are no more epochs.
        ([0.5, 0.6, 0.55, 0.6, 0.7, 0.6], 5, 6),
    ],
)
def test_stops_when_the_dev_metric_rises_no_more(
    keyword_data, monkeypatch, scores, best, epochs
):
    given = iter(scores)
    monkeypatch.setattr(
        trial_lib, "compute_metrics", lambda *_: {"accuracy": next(given)}
    )
    trial = run(keyword_data, Hyperparameters(), epochs=6)
    assert (trial.epoch, trial.epochs, trial.score) == (best, epochs, 0.7)


def test_a_loss_that_is_not_finite_ends_the_trial(number_data):
    trial = run(number_data, Hyperparameters(learning_rate=1e30))
    assert (trial.epochs, trial.score) == (1, 0.0)


def test_the_same_seed_trains_the_same_model(keyword_data):
    h = Hyperparameters(embedding_dropout=0.3, wide=True)

    def train(global_seed):
        keras.utils.set_random_seed(global_seed)
        trial = run(keyword_data, h, epochs=1)
        return trial.dev, trial.predictions

    assert train(1) == train(2)


def test_other_models_of_the_process_are_unharmed(keyword_data):
    live = keras.Sequential([keras.Input([3]), keras.layers.Dense(1)])
    live.compile("sgd", "mse")
    x, y = np.eye(3, dtype=np.float32), np.ones(3, np.float32)
    live.fit(x, y, verbose=0)
    before = live.predict(x, verbose=0)
    state = np.random.get_state()[1].copy()
    run(keyword_data, Hyperparameters(), epochs=1)
    np.testing.assert_array_equal(live.predict(x, verbose=0), before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert live.fit(x, y, verbose=0).history["loss"][0] > 0
    # Keras's own names go on; clear_session would begin them anew.
    assert keras.Sequential().name != "sequential"


def test_batches_of_all_lengths_share_one_trace(keyword_data, monkeypatch):
    calls = []
    call = TextEncoder.call

    def counted(self, tokens, training=False):
        calls.append(tokens.shape)
        return call(self, tokens, training)

    monkeypatch.setattr(TextEncoder, "call", counted)
    run(keyword_data, Hyperparameters(), epochs=3)
    # Twice as the model is made, once for training, once for prediction.
    assert [tuple(shape) for shape in calls] == [(None, None)] * 4
