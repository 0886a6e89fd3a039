"""The train step that `fit` and the distributed trainer share."""

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.models.train_step import train_step
from adapters_tf.tasks.classification import AdapterTextClassifier

LABELS = np.arange(8) % 2


@pytest.fixture(scope="module")
def run(adapted, inputs):
    """Function: weights and results after two steps from the same start."""
    model = AdapterTextClassifier(adapted(), num_classes=2)
    state = [*model.weights, *model.optimizer.variables]
    start = [v.numpy() for v in state]
    matrix, vector = tf.TensorSpec([None, 12], tf.int32), tf.TensorSpec([None])
    number = tf.TensorSpec([], tf.int64)

    @tf.function(
        input_signature=[{k: matrix for k in inputs()}, vector, vector, number, number],
        autograph=False,
    )
    def step_function(x, y, weight, seed, step):
        return train_step(model, x, y, weight, seed=seed, step=step, clip_norm=1.0)

    def run(weight=None, rows=slice(None), seed=0, step=0):
        for variable, value in zip(state, start, strict=True):
            variable.assign(value)
        x = {name: value[rows] for name, value in inputs(8).items()}
        y = LABELS[rows].astype("float32")
        weight = np.ones_like(y) if weight is None else weight
        for i in range(2):
            results = step_function(x, y, weight, seed, step + i)
        before = {v.path: value for v, value in zip(model.weights, start, strict=False)}
        return results, {v.path: v.numpy() for v in model.weights}, before

    return run


def test_same_seed_same_result_bitwise(run):
    (outputs, *sums), weights, _ = run()
    (outputs_again, *sums_again), weights_again, _ = run()
    np.testing.assert_array_equal(outputs, outputs_again)
    assert [float(s) for s in sums] == [float(s) for s in sums_again]
    for path, value in weights.items():
        np.testing.assert_array_equal(weights_again[path], value)


@pytest.mark.parametrize("other", [{"seed": 1}, {"step": 9}])
def test_seed_and_step_decide_the_dropout(run, other):
    (outputs, *_), weights, _ = run()
    (other_outputs, *_), other_weights, _ = run(**other)
    assert np.abs(outputs - other_outputs).max() > 0
    assert (weights["logits/kernel"] != other_weights["logits/kernel"]).any()


def test_sums(run):
    weight = np.arange(8, dtype="float32")
    (outputs, loss_sum, weight_sum), *_ = run(weight)
    outputs = outputs.numpy().astype(np.float64)
    log_sum = np.log(np.exp(outputs).sum(axis=1))
    losses = log_sum - outputs[np.arange(8), LABELS]
    assert float(weight_sum) == 28
    assert float(loss_sum) == pytest.approx((losses * weight).sum(), rel=1e-5)
    assert loss_sum.dtype == weight_sum.dtype == tf.float32


def test_rows_of_weight_0_do_not_count(run):
    _, weighted, _ = run(np.float32([1, 1, 1, 1, 1, 0, 0, 0]))
    _, without, before = run(rows=slice(0, 5))
    for path, value in weighted.items():
        np.testing.assert_allclose(without[path], value, atol=1e-4, err_msg=path)
    assert np.abs(without["logits/bias"] - before["logits/bias"]).max() > 1e-3


def test_batch_of_weight_0_changes_nothing_but_decay(run):
    results, weights, before = run(np.zeros(8, np.float32))
    assert float(results[1]) == float(results[2]) == 0
    for path, value in before.items():
        np.testing.assert_allclose(weights[path], value, rtol=3e-5, err_msg=path)


def test_frozen_variables_get_no_slots(adapted):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    slots = len(model.optimizer.variables) - 2  # iterations and learning rate
    assert slots == 2 * len(model.trainable_variables)


def needed(graph):
    """The operations of a function that it runs: the others are pruned."""
    wanted = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    found = set()
    while wanted:
        op = wanted.pop()
        if op not in found:
            found.add(op)
            wanted += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return found


def test_no_gradient_of_a_frozen_kernel_is_computed(adapted, inputs):
    x = inputs(8)

    def products(tuning):
        # Without adapters, so that both compute the same but for the gradients.
        model = AdapterTextClassifier(adapted(None), num_classes=2, tuning=tuning)

        @tf.function(autograph=False)
        def step(x, y, weight):
            return train_step(model, x, y, weight, seed=0, step=0, clip_norm=1.0)

        y = tf.constant(LABELS, tf.float32)
        graph = step.get_concrete_function(x, y, tf.ones_like(y)).graph
        kinds = ("MatMul", "BatchMatMulV2", "Einsum")
        ops = sum(op.type in kinds for op in needed(graph))
        trained = {v.path for v in model.trainable_variables}
        return ops, {v.path for v in model.weights if "kernel" in v.path}, trained

    ops, kernels, trained = products("layer_norm")
    all_ops, _, all_trained = products("full")
    frozen = (kernels - trained) & all_trained
    # Of two blocks: query, key, value, output, and both of the feed-forward part.
    assert len(frozen) == 12
    assert all_ops - ops == len(frozen)
