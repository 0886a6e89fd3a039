"""The train step that `fit` and the distributed trainer share."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.models.text_classifier import AdapterTextClassifier
from adapters_tf.models.train_step import train_step

LABELS = np.arange(8) % 2


@pytest.fixture
def run(adapted, inputs):
    def run(steps=2, weight=None, rows=slice(None), **kwargs):
        keras.utils.set_random_seed(1)
        model = AdapterTextClassifier(adapted(), num_classes=2)
        step_function = tf.function(train_step, autograph=False)
        x = {name: tf.constant(value[rows]) for name, value in inputs(8).items()}
        y, results = tf.constant(LABELS[rows]), None
        for step in range(steps):
            results = step_function(
                model, x, y, weight, **{"seed": 0, "step": tf.constant(step), **kwargs}
            )
        return results, {v.path: v.numpy() for v in model.weights}

    return run


def test_same_seed_same_result_bitwise(run):
    (outputs, *sums), weights = run()
    (outputs_again, *sums_again), weights_again = run()
    np.testing.assert_array_equal(outputs, outputs_again)
    assert [float(s) for s in sums] == [float(s) for s in sums_again]
    for path, value in weights.items():
        np.testing.assert_array_equal(weights_again[path], value)


@pytest.mark.parametrize("other", [{"seed": 1}, {"step": tf.constant(9)}])
def test_seed_and_step_decide_the_dropout(run, other):
    (outputs, *_), weights = run()
    (other_outputs, *_), other_weights = run(**other)
    assert np.abs(outputs - other_outputs).max() > 0
    assert (weights["logits/kernel"] != other_weights["logits/kernel"]).any()


def test_sums(run):
    weight = np.arange(8.0)
    (outputs, loss_sum, weight_sum), _ = run(steps=1, weight=tf.constant(weight))
    outputs = outputs.numpy().astype(np.float64)
    log_sum = np.log(np.exp(outputs).sum(axis=1))
    losses = log_sum - outputs[np.arange(8), LABELS]
    assert float(weight_sum) == 28
    assert float(loss_sum) == pytest.approx((losses * weight).sum(), rel=1e-5)
    assert loss_sum.dtype == weight_sum.dtype == tf.float32


def test_rows_of_weight_0_do_not_count(run):
    weight = np.float32([1, 1, 1, 1, 1, 0, 0, 0])
    _, weighted = run(weight=tf.constant(weight))
    _, without = run(rows=slice(0, 5))
    for path, value in weighted.items():
        np.testing.assert_allclose(without[path], value, atol=2e-5, err_msg=path)


def test_batch_of_weight_0_changes_nothing_but_decay(run):
    results, weights = run(steps=1, weight=tf.zeros(8))
    _, before = run(steps=0)
    assert float(results[1]) == float(results[2]) == 0
    for path, value in before.items():
        np.testing.assert_allclose(weights[path], value, rtol=2e-5, err_msg=path)


def test_frozen_variables_get_no_slots(adapted):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    slots = len(model.optimizer.variables) - 2  # iterations and learning rate
    assert slots == 2 * len(model.trainable_variables)
