"""Many tasks on one live base."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError
from adapters_tf.models.adapter_file import load_adapter, save_adapter
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer
from adapters_tf.tasks.regression import AdapterTextRegressor

LABELS = np.arange(8) % 2


@pytest.fixture
def model(adapted):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    model.compile(run_eagerly=True)
    return model


def train_task(model, inputs, seed):
    """The adapter of a task: random ones, and a step of training."""
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.3, variable.shape))
    model.fit(inputs(8, seed=seed), LABELS, verbose=0)
    return model.get_adapter()


def weights(model):
    return {v.path: v.numpy() for v in model.weights}


def assert_same(one, other):
    assert set(one) == set(other)
    for path, value in one.items():
        np.testing.assert_array_equal(value, other[path], err_msg=path)


def test_get_is_a_copy(model, inputs):
    adapter = train_task(model, inputs, 1)
    assert set(adapter.tensors) == {v.path for v in model.trainable_variables}
    assert {v.dtype for v in adapter.tensors.values()} == {np.dtype("float32")}
    kept = {path: value.copy() for path, value in adapter.tensors.items()}
    train_task(model, inputs, 2)
    assert_same(adapter.tensors, kept)


def test_get_records_what_it_is_told(model):
    adapter = model.get_adapter(
        task={"name": "sst2"}, metrics={"accuracy": 0.5}, preset="p", seq_length=12
    )
    assert adapter.task == {"name": "sst2"}
    assert (adapter.preset, adapter.seq_length) == ("p", 12)
    assert adapter.base_fingerprint == model.backbone.fingerprint
    assert adapter.head == {"num_classes": 2, "head_input": "cls", "dropout": 0.1}


def test_set_brings_back_exactly_that_task(model, inputs):
    x = inputs()
    first = train_task(model, inputs, 1)
    first_weights, first_outputs = weights(model), model(x).numpy()
    second = train_task(model, inputs, 2)
    second_outputs = model(x).numpy()
    assert np.abs(first_outputs - second_outputs).max() > 0.1
    for _ in range(2):
        model.set_adapter(first)
        assert_same(weights(model), first_weights)  # nothing of the second remains
        np.testing.assert_array_equal(model(x), first_outputs)
        model.set_adapter(second)
        np.testing.assert_array_equal(model(x), second_outputs)


def test_set_does_not_retrace(adapted, inputs):
    model = AdapterTextClassifier(adapted(), num_classes=2)
    traces = []

    @tf.function
    def run(x):
        traces.append(1)
        return model(x, training=False)

    x = {name: tf.constant(value) for name, value in inputs().items()}
    outputs, predictions = [], []
    random = np.random.default_rng(0)
    for _ in range(3):
        adapter = model.get_adapter()
        for value in adapter.tensors.values():
            value[...] = random.normal(0, 0.3, value.shape)
        model.set_adapter(adapter)
        outputs.append(run(x).numpy())
        predictions.append(model.predict(inputs(), verbose=0))
        np.testing.assert_allclose(outputs[-1], predictions[-1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outputs[-1], model(x), rtol=1e-4, atol=1e-5)
        function = model.predict_function
    assert len(traces) == 1
    assert function.experimental_get_tracing_count() == 1
    assert np.abs(outputs[0] - outputs[1]).max() > 0.1
    assert np.abs(outputs[1] - outputs[2]).max() > 0.1


def test_a_new_task_leaves_the_others_bit_identical(model, inputs, tmp_path):
    x = inputs()
    directories, files, outputs = [], [], []
    for task in range(4):
        save_adapter(train_task(model, inputs, task), tmp_path / f"task{task}")
        directories.append(tmp_path / f"task{task}")
        outputs.append(model(x).numpy())
        files.append([path.read_bytes() for path in sorted(directories[-1].iterdir())])
        for i, directory in enumerate(directories):
            now = [path.read_bytes() for path in sorted(directory.iterdir())]
            assert now == files[i]
            model.set_adapter(load_adapter(directory))
            np.testing.assert_array_equal(model(x), outputs[i])


def test_another_copy_of_the_base_takes_the_adapter(adapted, model, inputs):
    adapter = train_task(model, inputs, 1)
    other = AdapterTextClassifier(adapted(), num_classes=2)
    other.set_adapter(adapter)
    assert_same(weights(other), weights(model))


def test_the_base_in_half_precision_takes_the_adapter(adapted, model, inputs):
    adapter, x = train_task(model, inputs, 1), inputs()
    mixed = AdapterTextClassifier(adapted(dtype="mixed_bfloat16"), num_classes=2)
    mixed.set_adapter(adapter)
    assert_same(weights(mixed), weights(model))
    np.testing.assert_allclose(mixed(x), model(x), atol=0.2)


def test_a_head_of_another_size_is_another_form(adapted, model):
    three = AdapterTextClassifier(adapted(), num_classes=3)
    with pytest.raises(AdapterFileError, match="head must be the model's.*num_classes"):
        model.set_adapter(three.get_adapter())


# What is refused. Each time the model stays as it was.


def refuse(model, adapter, message):
    before = weights(model)
    with pytest.raises(AdapterFileError, match=message):
        model.set_adapter(adapter)
    assert_same(weights(model), before)


def with_tensors(adapter, **changed):
    """Without the tensors that are `None`."""
    tensors = {**adapter.tensors, **changed}
    tensors = {path: value for path, value in tensors.items() if value is not None}
    return dataclasses.replace(adapter, tensors=tensors)


@pytest.fixture
def other(model):
    """An adapter that fits, of other values."""
    adapter = model.get_adapter()
    tensors = {path: value + 1 for path, value in adapter.tensors.items()}
    return dataclasses.replace(adapter, tensors=tensors)


def test_missing_tensors(model, other):
    adapter = with_tensors(other, **{"logits/bias": None, "logits/kernel": None})
    refuse(model, adapter, "exactly those .* missing: logits/bias, logits/kernel$")


def test_extra_tensors(model, other):
    adapter = with_tensors(other, **{"pooled_dense/bias": np.zeros(16, np.float32)})
    refuse(model, adapter, "not known to the model: pooled_dense/bias$")


def test_misshapen_tensor(model, other):
    adapter = with_tensors(other, **{"logits/bias": np.zeros((2, 1), np.float32)})
    refuse(model, adapter, r"logits/bias has shape \(2, 1\), the model's has \(2,\)$")


def test_every_problem_is_named(model, other):
    changed = {"logits/bias": None, "new": np.zeros(1), "logits/kernel": np.zeros(3)}
    message = (
        "missing: logits/bias; not known to the model: new; logits/kernel has shape"
    )
    refuse(model, with_tensors(other, **changed), message)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(model, other, value):
    kernel = other.tensors["logits/kernel"].copy()
    kernel[0, 0] = value
    adapter = with_tensors(other, **{"logits/kernel": kernel})
    refuse(model, adapter, "tensor logits/kernel holds NaN or infinity")


def test_wrong_base(sizes, randomize, model, other):
    import keras_hub

    plain = keras_hub.models.BertBackbone(**sizes)
    randomize(plain, seed=9)
    foreign = AdapterTextClassifier(
        BertAdapterBackbone.from_backbone(plain, AdapterConfig(4)), num_classes=2
    )
    fingerprint = foreign.backbone.fingerprint
    refuse(
        model,
        foreign.get_adapter(preset="elsewhere"),
        f"trained on the base {fingerprint} .elsewhere.; the model has the base "
        f"{model.backbone.fingerprint}",
    )


@pytest.mark.parametrize(
    "arguments, field",
    [
        ({"num_classes": 3}, "head"),
        ({"head_input": "mean"}, "head"),
        ({"adapter": AdapterConfig(8)}, "adapter"),
        ({"adapter": AdapterConfig(4, activation="relu")}, "adapter"),
        ({"adapter": AdapterConfig(4, parallel=True)}, "adapter"),
        ({"adapter": None, "tuning": "layer_norm"}, "adapter"),
    ],
)
def test_adapter_of_another_form(adapted, model, arguments, field):
    arguments = {"num_classes": 2, "adapter": AdapterConfig(4), **arguments}
    backbone = adapted(arguments.pop("adapter"))
    foreign = AdapterTextClassifier(backbone, **arguments)
    refuse(model, foreign.get_adapter(), f"The adapter's {field} must be the model's")


@pytest.mark.parametrize("cls", [AdapterTextRegressor, AdapterQuestionAnswerer])
def test_adapter_of_another_kind(adapted, model, cls):
    foreign = cls(adapted())
    message = (
        f"kind must be the model's. Received: kind={foreign.kind}; .*classification"
    )
    refuse(model, foreign.get_adapter(), message)


def test_adapter_of_another_tuning(adapted):
    full, head = (
        AdapterTextClassifier(adapted(None), num_classes=2, tuning=tuning)
        for tuning in ("full", "head")
    )
    refuse(full, head.get_adapter(), "adapter's tuning must be the model's")
