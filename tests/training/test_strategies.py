"""Every strategy against one device, in processes of their own."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.benchmark.strategies.job import (
    largest_difference,
    train_in_new_processes,
)
from adapters_tf.benchmark.strategies.process import Spec
from adapters_tf.errors import UserError
from adapters_tf.training.strategy import get_strategy, is_chief, num_workers
from adapters_tf.training.tpu import connect_to_tpu

CASES = {
    "2 devices": (Spec("mirrored", 2), 1),
    "4 devices, one step a loop": (Spec("mirrored", 4, steps_per_loop=1), 1),
    "2 devices, XLA": (Spec("mirrored", 2, jit_compile=True), 1),
    "2 processes": (Spec("multi_worker_mirrored"), 2),
}


@pytest.fixture(scope="module")
def train(tiny_preset):
    def run(spec, workers=1):
        spec = dataclasses.replace(spec, preset=tiny_preset, bottleneck_dim=4)
        return train_in_new_processes(spec, workers)

    return run


@pytest.fixture(scope="module")
def one_device(train):
    return train(Spec())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_same_weights_as_on_one_device(train, one_device, case):
    arrays = train(*CASES[case])
    # Dropout is on, and the last batch of each epoch is divided by no number.
    assert largest_difference(arrays, one_device) < 1e-6
    np.testing.assert_allclose(arrays["outputs"], one_device["outputs"], 0, 1e-6)
    if len(arrays["losses"]) == len(one_device["losses"]):
        np.testing.assert_allclose(arrays["losses"], one_device["losses"], 1e-5)


@pytest.mark.slow
def test_bfloat16_on_2_devices(train, one_device):
    one = train(Spec(precision="mixed_bfloat16"))
    two = train(Spec("mirrored", 2, precision="mixed_bfloat16"))
    assert largest_difference(two, one) < 5e-3
    # And it is not float32 that was run.
    assert largest_difference(one, one_device) > 1e-5


def test_one_process():
    for name in ("off", "one_device"):
        strategy = get_strategy(name)
        assert strategy.num_replicas_in_sync == num_workers(strategy) == 1
        assert is_chief(strategy)


def test_unknown_name():
    with pytest.raises(UserError, match="must be one of off, .* Received: 'parameter"):
        get_strategy("parameter_server")


@pytest.mark.parametrize(
    ("text", "received"),
    [
        (None, "Received: none"),
        ("{", "Received: {"),
        ('{"cluster": {"worker": ["a:1"]}}', 'Received: {"cluster'),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            'Received: {"cluster',
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, '
            '"task": {"type": "ps", "index": 0}}',
            "must be a worker, or the chief. Received: 'ps'",
        ),
    ],
)
def test_workers_need_their_places(monkeypatch, text, received):
    if text is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError) as error:
        get_strategy("multi_worker_mirrored")
    assert received in str(error.value) and "Such as: TF_CONFIG=" in str(error.value)


def test_no_tpu_here():
    with pytest.raises(UserError, match="No TPU was found on this machine: "):
        get_strategy("tpu")
    with pytest.raises(UserError, match="Received: no --tpu"):
        connect_to_tpu("")


def test_tpu_that_does_not_answer(monkeypatch):
    import threading

    from adapters_tf.training import tpu

    forever = threading.Event()
    monkeypatch.setattr(
        tpu.distribute_utils, "tpu_initialize", lambda _: forever.wait()
    )
    with pytest.raises(UserError, match="'grpc://a:1' did not answer within 0 seconds"):
        connect_to_tpu("grpc://a:1", seconds=0.05)
    forever.set()


def test_steps_compile_under_xla_with_static_shapes(tiny_preset):
    """What a TPU needs: the whole step, the update too, as one XLA program."""
    from adapters_tf.layers.adapter_config import AdapterConfig
    from adapters_tf.models.build import build_model
    from adapters_tf.models.features import Features
    from adapters_tf.training.config import TrainConfig
    from adapters_tf.training.predict import Predictor
    from adapters_tf.training.trainer import AdapterTrainer

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
