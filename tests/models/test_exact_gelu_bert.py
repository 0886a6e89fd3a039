"""The base with the exact GELU: values, presets, fingerprint, adapters."""

import keras
import keras_hub
import numpy as np
import pytest
from scipy.special import erf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.models.backbones import (
    ExactGeluBertAdapterBackbone,
    ExactGeluBertBackbone,
    hidden_activation,
)
from adapters_tf.models.fingerprint import base_fingerprint
from adapters_tf.models.presets import load_backbone, load_preprocessor


@pytest.fixture
def exact(sizes, randomize):
    backbone = ExactGeluBertBackbone(**sizes)
    randomize(backbone)
    return backbone


def test_the_activation_is_the_exact_one(exact, plain):
    x = np.linspace(-5, 5, 101, dtype="float32")
    dense = exact.transformer_layers[1]._feedforward_intermediate_dense
    expected = 0.5 * x * (1 + erf(x / np.sqrt(2)))
    np.testing.assert_allclose(dense.activation(x), expected, atol=1e-6)
    other = plain.transformer_layers[1]._feedforward_intermediate_dense.activation(x)
    assert np.abs(np.asarray(other) - expected).max() > 1e-4


def test_only_the_activation_differs(exact, plain, inputs):
    assert [v.path for v in exact.weights] == [v.path for v in plain.weights]
    assert exact.get_config() == plain.get_config() | {"name": exact.name}
    one, other = exact(inputs()), plain(inputs())
    difference = np.abs(one["sequence_output"] - other["sequence_output"]).max()
    assert 1e-5 < difference < 0.05
    # And the class that it is made of is as before.
    again = keras_hub.models.BertBackbone.from_config(plain.get_config())
    for variable, value in zip(again.weights, plain.weights, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(
        again(inputs())["sequence_output"], other["sequence_output"]
    )


def test_fingerprints_differ(exact, plain):
    for mine, theirs in zip(exact.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert base_fingerprint(exact) != base_fingerprint(plain)


@pytest.mark.parametrize("adapter", [None, AdapterConfig(4, zero_init=True)])
def test_preset(exact, tokenizer, inputs, tmp_path, adapter):
    exact.save_to_preset(str(tmp_path))
    tokenizer.save_to_preset(str(tmp_path))
    backbone = load_backbone(str(tmp_path), adapter)
    assert type(backbone) is ExactGeluBertAdapterBackbone
    assert backbone.fingerprint == base_fingerprint(exact)
    assert hidden_activation(backbone) == "gelu"
    expected = exact(inputs())["sequence_output"]
    np.testing.assert_array_equal(backbone(inputs())["sequence_output"], expected)
    preprocessor = load_preprocessor(str(tmp_path), 8)
    assert preprocessor(np.array(["a good film"]))["token_ids"].shape == (1, 8)


def test_a_base_with_adapters_is_saved_with_its_activation(exact, inputs, tmp_path):
    adapted = ExactGeluBertAdapterBackbone.from_backbone(exact, AdapterConfig(4))
    expected = adapted(inputs())["sequence_output"]
    adapted.save(str(tmp_path / "model.keras"))
    read = keras.saving.load_model(str(tmp_path / "model.keras"))
    np.testing.assert_array_equal(read(inputs())["sequence_output"], expected)
    assert type(adapted.to_plain()) is ExactGeluBertBackbone


def test_keras_hubs_class_computes_the_tanh_form(plain):
    assert hidden_activation(plain) == "gelu_tanh"
