"""The schedule and AdamW against values computed by hand and in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.models.optimizer import AdamW, LinearWarmupDecay, create_optimizer
from adapters_tf.models.train_step import train_step


def rates(schedule):
    return [float(schedule(step)) for step in range(schedule.total_steps)]


def test_schedule_by_hand():
    # The first step learns, the second has the peak, the last a part of it.
    expected = [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    schedule = LinearWarmupDecay(1.0, total_steps=10, warmup_steps=2)
    np.testing.assert_allclose(rates(schedule), expected, rtol=1e-6)
    assert float(schedule(10)) == float(schedule(99)) == 0
    schedule = LinearWarmupDecay(3e-3, total_steps=10, warmup_steps=2)
    np.testing.assert_allclose(rates(schedule), np.multiply(3e-3, expected), rtol=1e-6)


@pytest.mark.parametrize(
    "total, warmup, expected",
    [
        (4, 0, [1, 0.75, 0.5, 0.25]),
        (4, 4, [0.25, 0.5, 0.75, 1]),
        (1, 0, [1]),
        (1, 1, [1]),
    ],
)
def test_schedule_at_its_limits(total, warmup, expected):
    schedule = LinearWarmupDecay(1.0, total, warmup)
    np.testing.assert_allclose(rates(schedule), expected, rtol=1e-6)


def test_schedule_in_a_graph_and_through_its_config():
    schedule = LinearWarmupDecay(1e-3, 10, 3)
    copy = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(schedule)
    )
    assert type(copy) is LinearWarmupDecay
    in_graph = tf.function(copy)
    values = [float(in_graph(tf.constant(i, tf.int64))) for i in range(10)]
    np.testing.assert_allclose(values, rates(schedule), rtol=1e-6)


@pytest.mark.parametrize("total, warmup", [(0, 0), (10, 11), (10, -1)])
def test_schedule_of_bad_lengths(total, warmup):
    message = f"Received: warmup_steps={warmup}, total_steps={total}"
    with pytest.raises(ValueError, match=message):
        LinearWarmupDecay(1e-3, total, warmup)


class Toy:
    """What `train_step` needs of a model: `x @ kernel * gamma + bias`."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.trainable_variables = [
            keras.Variable(random.normal(size=shape), name=name, dtype="float32")
            for name, shape in (("kernel", (3, 2)), ("gamma", (2,)), ("bias", (2,)))
        ]

    def __call__(self, x, training):
        kernel, gamma, bias = self.trainable_variables
        return tf.matmul(x, kernel.value) * gamma.value + bias.value

    def example_losses(self, y, outputs):
        return tf.reduce_sum((outputs - y) ** 2, axis=1)


def numpy_step(w, slots, x, y, weights, t, rate, decay, clip_norm):
    """One AdamW step of `Toy` in float64, in place; `t` counts from 1."""
    h = x @ w["kernel"]
    error = 2 * (h * w["gamma"] + w["bias"] - y) * weights[:, None] / weights.sum()
    gradients = {
        "kernel": x.T @ (error * w["gamma"]),
        "gamma": (error * h).sum(axis=0),
        "bias": error.sum(axis=0),
    }
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    for name, gradient in gradients.items():
        if clip_norm is not None and norm > clip_norm:
            gradient = gradient * clip_norm / norm
        m, v = slots[name]
        m[:] = 0.9 * m + 0.1 * gradient
        v[:] = 0.999 * v + 0.001 * gradient**2
        if name == "kernel":
            w[name] -= rate * decay * w[name]
        correction = np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        w[name] -= rate * correction * m / (np.sqrt(v) + 1e-6)
    return norm


@pytest.mark.parametrize("clip_norm", [1.0, None])
@pytest.mark.parametrize("decay", [0.01, 0.5])
def test_steps_agree_with_numpy(clip_norm, decay):
    model = Toy()
    schedule = LinearWarmupDecay(1e-2, 6, 2)
    model.optimizer = create_optimizer(model.trainable_variables, schedule, decay)
    w = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    slots = {k: (np.zeros_like(v), np.zeros_like(v)) for k, v in w.items()}
    random = np.random.default_rng(1)
    norms = []
    for t in range(1, 7):
        x, y = random.normal(size=(5, 3)), random.normal(size=(5, 2))
        weights = random.uniform(size=5)
        as_float32 = [tf.constant(a, tf.float32) for a in (x, y, weights)]
        train_step(model, *as_float32, seed=0, step=t, clip_norm=clip_norm)
        rate = 1e-2 * min(t / 2, (6 - (t - 1)) / 4, 1)
        norms.append(numpy_step(w, slots, x, y, weights, t, rate, decay, clip_norm))
        for variable in model.trainable_variables:
            np.testing.assert_allclose(
                variable.numpy(), w[variable.path], atol=1e-6, err_msg=variable.path
            )
    assert max(norms) > 1  # so that the clipping was tried


def test_only_kernels_and_embeddings_are_decayed():
    paths = (
        "transformer_layer_0/self_attention_layer/query/kernel",
        "transformer_layer_0/attention_adapter/down_projection/kernel",
        "token_embedding/embeddings",
        "transformer_layer_0/attention_adapter/down_projection/bias",
        "embeddings_layer_norm/gamma",
        "embeddings_layer_norm/beta",
    )
    variables = []
    for path in paths:
        variables.append(keras.Variable(np.ones(2), dtype="float32", name="x"))
        variables[-1]._path = path
    optimizer = create_optimizer(variables, learning_rate=0.1, weight_decay=0.5)
    # Without a gradient only the decay moves a variable.
    optimizer.apply([tf.zeros(2)] * len(variables), variables)
    moved = [v.path for v in variables if v.numpy()[0] != 1]
    assert moved == list(paths[:3])
    np.testing.assert_allclose(variables[0], 0.95)


def test_reloaded_optimizer_decays_the_same():
    kernel, bias = (
        keras.Variable(np.ones(2), dtype="float32", name=name)
        for name in ("kernel", "bias")
    )
    optimizer = create_optimizer([kernel, bias], 0.1, weight_decay=0.5)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is AdamW
    copy.build([kernel, bias])
    copy.apply([tf.zeros(2)] * 2, [kernel, bias])
    np.testing.assert_allclose(kernel, 0.95)
    np.testing.assert_array_equal(bias, 1)


def test_constants_of_the_reference():
    config = create_optimizer([keras.Variable(1.0)], 1e-3).get_config()
    expected = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6, "weight_decay": 0.01}
    assert {name: config[name] for name in expected} == expected
