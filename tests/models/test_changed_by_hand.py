"""Layers and weights that were changed by hand: no file says otherwise."""

import keras
import keras_hub
import numpy as np
import pytest

from adapters_tf.errors import UserError
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.build import load_model
from adapters_tf.tasks.classification import AdapterTextClassifier

LABELS = np.array([1, 0, 1, 0])


@pytest.fixture
def make(adapted):
    def make(backbone=None, preprocessor=None, **kwargs):
        backbone = adapted() if backbone is None else backbone
        model = AdapterTextClassifier(backbone, 2, preprocessor, **kwargs)
        model.compile(run_eagerly=True)
        return model

    return make


# Layers.


def freeze_base(model):
    model.backbone.trainable = False


def thaw_pooler(model):
    model.backbone.pooled_dense.trainable = True
    for variable in model.backbone.pooled_dense.weights:
        variable.trainable = True


def freeze_an_adapter(model):
    model.backbone.encoder_blocks[0].attention_adapter.trainable = False


def add_lora(model):
    model.backbone.encoder_blocks[0]._feedforward_output_dense.enable_lora(2)


def quantize(model):
    model.backbone.encoder_blocks[0]._feedforward_output_dense.quantize("int8")


@pytest.mark.parametrize(
    "change, message",
    [
        (freeze_base, "frozen, such as"),
        (thaw_pooler, "2 unfrozen, such as pooled_dense"),
        (freeze_an_adapter, "4 frozen, such as transformer_layer_0/attention_adapter"),
        (add_lora, "changed by enable_lora"),
        (quantize, r"changed by quantize\('int8'\)"),
    ],
)
def test_changed_layers_are_refused(make, inputs, tmp_path, change, message):
    classifier, x = make(), inputs(4)
    change(classifier)
    for call in (
        lambda: classifier.fit(x, LABELS, verbose=0),
        lambda: classifier.train_on_batch(x, LABELS),
        lambda: classifier.train_step((x, LABELS)),
        classifier.get_adapter,
        lambda: classifier.save_adapter(tmp_path / "adapter"),
        lambda: classifier.add_adapter("new", num_classes=2),
    ):
        with pytest.raises(UserError, match=message):
            call()
    assert not (tmp_path / "adapter").exists()
    # They compute something all the same.
    assert classifier.predict(x, verbose=0).shape == (4, 2)
    assert len(classifier.test_on_batch(x, LABELS)) == 2


def test_layers_frozen_between_batches(make, inputs):
    model = make()
    model.train_on_batch(inputs(4), LABELS)
    freeze_base(model)
    with pytest.raises(UserError, match="frozen, such as"):
        model.train_on_batch(inputs(4), LABELS)


# Weights.


def assign(model, tmp_path, plain):
    table = model.backbone.get_layer("token_embedding").embeddings
    value = table.numpy()
    value[0, 0] = np.nextafter(value[0, 0], 1)
    table.assign(value)
    return model


def train_with_a_tape(model, tmp_path, plain):
    optimizer = keras.optimizers.SGD(0.1)
    variables = [v for v in model.backbone.pooled_dense.weights]
    optimizer.build(variables)
    optimizer.apply([v * 0 + 1 for v in variables], variables)
    return model


def weights_file_of_another_base(model, tmp_path, plain):
    other = keras_hub.models.BertBackbone(**plain.get_config())
    other = BertAdapterBackbone.from_backbone(other, model.backbone.adapter)
    other.save_weights(tmp_path / "other.weights.h5")
    model.backbone.load_weights(tmp_path / "other.weights.h5")
    return model


def made_of_the_configuration(model, tmp_path, plain):
    return type(model).from_config(model.get_config())


def through_a_file(model, tmp_path, plain):
    assign(model, tmp_path, plain).save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


CHANGES = [
    (assign, "1 of its variables, such as token_embedding/embeddings"),
    (train_with_a_tape, "2 of its variables, such as pooled_dense/kernel, pooled_dens"),
    (weights_file_of_another_base, r"such as \w+"),
    (made_of_the_configuration, r"such as \w+"),
    (through_a_file, "1 of its variables, such as token_embedding/embeddings"),
]


@pytest.mark.parametrize(
    "change, received", CHANGES, ids=[c.__name__ for c, _ in CHANGES]
)
def test_a_changed_base_is_in_no_adapter(
    make, plain, inputs, tmp_path, change, received
):
    model = make()
    task = model.get_adapter()
    model.save_adapter(tmp_path / "task")
    model = change(model, tmp_path, plain)
    logits = model(inputs())
    for call in (
        model.get_adapter,
        lambda: model.save_adapter(tmp_path / "adapter"),
        lambda: model.load_adapter(tmp_path / "task", "other"),
        lambda: model.set_adapter(task),
    ):
        with pytest.raises(UserError, match=f"one base, with .*{received}.* set_weig"):
            call()
    with pytest.raises(UserError, match="base has other weights"):
        model.add_adapter("new", num_classes=2, tuning="head")
    assert not (tmp_path / "adapter").exists()
    assert model.adapters == ("default",)
    np.testing.assert_array_equal(model(inputs()), logits)


def test_a_task_preset_with_a_changed_base(make, plain, preprocessor, tmp_path):
    model = make(preprocessor=preprocessor)
    model.save_adapter(tmp_path / "task")
    preset = str(tmp_path / "preset")
    assign(model, tmp_path, plain).save_to_preset(preset)
    for call in (
        AdapterTextClassifier.from_preset(preset).get_adapter,
        lambda: load_model(tmp_path / "task", preset),
    ):
        with pytest.raises(UserError, match="such as token_embedding/embeddings"):
            call()


def test_what_the_error_advises(make, plain, inputs, preprocessor, tmp_path):
    model, x = make(preprocessor=preprocessor), inputs(4)
    task = model.get_adapter()
    assign(model, tmp_path, plain)
    model.fit(x, LABELS, verbose=0)
    # A preset of its own.
    preset = str(tmp_path / "preset")
    model.backbone.to_plain().save_to_preset(preset)
    model.preprocessor.tokenizer.save_to_preset(preset)
    new = AdapterTextClassifier.from_preset(
        preset, adapter=model.backbone.adapter, num_classes=2, seq_length=12
    )
    new.set_weights(model.get_weights())
    new.save_adapter(tmp_path / "adapter")
    assert new.backbone.fingerprint != model.backbone.fingerprint
    read = load_model(tmp_path / "adapter", preset)
    np.testing.assert_array_equal(read(x), model(x))
    # The loaded weights again.
    table = plain.get_layer("token_embedding").embeddings
    model.backbone.get_layer("token_embedding").embeddings.assign(table)
    assert model.get_adapter().base_fingerprint == task.base_fingerprint


@pytest.mark.parametrize(
    "tuning, frozen",
    [
        ("adapters", "pooled_dense/kernel"),
        ("adapters_only", "embeddings_layer_norm/gamma"),
    ],
)
def test_what_is_trained_is_not_compared(make, tmp_path, tuning, frozen):
    model, other = make(tuning=tuning), make(tuning=tuning)
    for variable in model.trainable_variables:
        variable.assign(variable + 1)
    model.save_weights(tmp_path / "task.weights.h5")
    other.load_weights(tmp_path / "task.weights.h5")
    other.save(tmp_path / "model.keras")
    read = keras.saving.load_model(tmp_path / "model.keras")
    for same in (model, other, read):
        assert same.get_adapter().base_fingerprint == model.backbone.fingerprint
    variable = next(v for v in read.weights if v.path == frozen)
    variable.assign(variable + 1)
    with pytest.raises(UserError, match=f"1 of its variables, such as {frozen}"):
        read.get_adapter()


@pytest.mark.parametrize("tuning", [Tuning("full"), Tuning("top_n", 1)])
def test_a_base_that_is_trained(make, adapted, tuning):
    model = make(adapted(None), tuning=tuning)
    for variable in model.trainable_variables:
        variable.assign(variable + 1)
    model.get_adapter()
    variable = next(v for v in model.backbone.weights if not v.trainable)
    variable.assign(variable + 1)
    with pytest.raises(UserError, match=f"such as {variable.path}"):
        model.get_adapter()


def test_a_base_in_half_precision(make, adapted):
    """It is compared as it was loaded, and not with the fingerprint's float32."""
    model = make(adapted(dtype="bfloat16"))
    model.add_adapter("new", num_classes=3)
    model.get_adapter()
    variable = model.backbone.pooled_dense.bias
    variable.assign(variable + 1)
    with pytest.raises(UserError, match="such as pooled_dense/bias"):
        model.get_adapter()


def test_a_configuration_from_before_there_were_digests(make):
    model = make()
    config = model.backbone.get_config()
    del config["base_digests"]
    backbone = BertAdapterBackbone.from_config(config)
    backbone.set_weights(model.backbone.get_weights())
    old = make(backbone)
    assert old.get_adapter().base_fingerprint == model.backbone.fingerprint
    old.add_adapter("new", num_classes=3)
    backbone.pooled_dense.bias.assign(backbone.pooled_dense.bias + 1)
    with pytest.raises(UserError, match="base has other weights"):
        old.add_adapter("other", num_classes=5)
