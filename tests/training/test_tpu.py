"""The path of a TPU, as far as it goes without one."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.examples import Examples
from adapters_tf.errors import UserError
from adapters_tf.models.features import Features
from adapters_tf.models.task import Task
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.training import devices, predict, trainer
from adapters_tf.training.config import TrainConfig, TrainJob
from adapters_tf.training.devices import connect_to_tpu, get_strategy
from adapters_tf.training.model_pool import build_task_model
from adapters_tf.training.predict import Predictor
from adapters_tf.training.trainer import AdapterTrainer

prepare = kind_named("classification").prepare


def test_no_tpu_here():
    with pytest.raises(UserError, match="No TPU was found on this machine: "):
        get_strategy("tpu")
    with pytest.raises(UserError, match="Received: no --tpu"):
        connect_to_tpu("")


def test_tpu_that_does_not_answer(monkeypatch):
    forever = threading.Event()
    monkeypatch.setattr(
        devices.distribute_utils, "tpu_initialize", lambda _: forever.wait()
    )
    with pytest.raises(UserError, match="'grpc://a:1' did not answer within 0 seconds"):
        connect_to_tpu("grpc://a:1", seconds=0.05)
    forever.set()


def test_steps_compile_under_xla_with_static_shapes(tiny_preset):
    """What a TPU needs: the whole step, the update too, as one XLA program."""
    random = np.random.default_rng(0)
    x = {
        "token_ids": random.integers(5, 20, (4, 16)).astype(np.int32),
        "segment_ids": np.zeros((4, 16), np.int32),
        "padding_mask": np.ones((4, 16), np.int32),
    }
    y, weight = np.array([0, 1, 1, 0], np.int32), np.array([1, 1, 1, 0], np.float32)
    features = Features(
        x["token_ids"].ravel(), x["segment_ids"].ravel(), np.arange(5) * 16, y
    )

    def result(jit_compile):
        model = build_model(
            "classification",
            tiny_preset,
            AdapterConfig(bottleneck_dim=4, initializer_stddev=0.1),
            seq_length=16,
            head={"num_classes": 2},
        )
        for i, v in enumerate(model.trainable_variables):
            v.assign(np.random.default_rng(i).normal(0, 0.2, v.shape))
        trainer = AdapterTrainer(model, features, TrainConfig(batch_size=4))
        # Static shapes: any other batch is an error, and no string comes near it.
        signature = tf.nest.map_structure(
            lambda a: tf.TensorSpec(a.shape, a.dtype), (x, y, weight)
        )
        step = tf.function(trainer.replica_step, signature, jit_compile=jit_compile)
        sums = [step(x, y, weight) for _ in range(3)]
        predict = Predictor(model).replica_step
        outputs = tf.function(predict, signature[:1], jit_compile=jit_compile)(x)
        return model, sums, outputs.numpy()

    model, sums, outputs = result(True)
    plain_model, plain_sums, plain_outputs = result(False)
    np.testing.assert_allclose(sums, plain_sums, rtol=1e-5)
    np.testing.assert_allclose(outputs, plain_outputs, atol=1e-5)
    for ours, theirs in zip(
        model.trainable_variables, plain_model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


# Of one padded length, as dropout depends on it; and of two.
SHORT = ["the film was good", "a bad plot", "so very fine and lovely", "sad actor"] * 5
LONG = [*SHORT[:6], "the film was so very very good and the plot was fine"]


@pytest.fixture
def train_and_predict(tiny_preset):
    """Function: weights and outputs after two epochs of 8 + 8 + 4 rows."""

    def run():
        config = TrainConfig(epochs=2, batch_size=8, learning_rate=1e-2, seed=3)
        adapter = AdapterConfig(bottleneck_dim=4)
        job = TrainJob(tiny_preset, adapter=adapter, seq_length=16, config=config)
        task = Task("t", "classification", ("text",), ("neg", "pos"))
        model = build_task_model(job, task)

        def features(texts):
            labels = np.arange(len(texts), dtype=np.int32) % 2
            return prepare(Examples((texts,), labels), model.preprocessor).features

        AdapterTrainer(model, features(SHORT), config).train(tf.constant(6))
        outputs = np.stack(Predictor(model, batch_size=4)(features(LONG)))
        return [v.numpy() for v in model.trainable_variables], outputs

    return run


def test_every_batch_has_one_shape(train_and_predict, monkeypatch):
    weights, outputs = train_and_predict()
    shapes = {AdapterTrainer: [], Predictor: []}

    def record(kind):
        step = kind.replica_step

        def recorded(self, x, *rest):
            shapes[kind].append(x["token_ids"].shape.as_list())
            return step(self, x, *rest)

        monkeypatch.setattr(kind, "replica_step", recorded)

    for kind in shapes:
        record(kind)
    for module in (trainer, predict):
        monkeypatch.setattr(module, "is_tpu", lambda strategy: True)
    static_weights, static_outputs = train_and_predict()
    # What was traced: whole shapes, the longest row's, and only those.
    assert {tuple(shape) for shape in shapes[AdapterTrainer]} == {(8, 8)}
    assert {tuple(shape) for shape in shapes[Predictor]} == {(4, 16)}
    np.testing.assert_allclose(static_outputs, outputs, atol=1e-5)
    for static, plain in zip(static_weights, weights, strict=True):
        np.testing.assert_allclose(static, plain, rtol=0, atol=1e-6)
