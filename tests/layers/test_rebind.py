"""`rebind`, and what it relies on in the installed keras-hub and Keras."""

import types

import keras
import keras_hub
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.layers.dropout import Dropout
from adapters_tf.layers.rebind import Overlay, rebind
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.block import AdapterTransformerEncoder, MultiHeadAttention

SIZES = {
    "vocabulary_size": 40,
    "num_layers": 3,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "max_sequence_length": 12,
}

base = 10


def uses_base(x, y=2, *, z=3):
    return base + x + y + z


class Parent:
    def value(self):
        return base


class Child(Parent):
    def value(self):
        return super().value() * base


def test_copy_sees_other_values():
    copy = rebind(uses_base, base=100)
    assert copy(1) == 106
    assert copy(1, 0, z=0) == 101
    assert uses_base(1) == 16
    assert base == 10
    assert copy.__qualname__ == uses_base.__qualname__


def test_super_still_works():
    assert rebind(Child.value, base=3)(Child()) == 30
    assert Child().value() == 100


def test_unknown_name():
    with pytest.raises(
        RuntimeError,
        match=r"test_rebind.uses_base no longer uses the global name\(s\) \['bsae'\]",
    ):
        rebind(uses_base, bsae=1)


def test_overlay():
    module = types.SimpleNamespace(a=1, b=2)
    overlay = Overlay(module, b=20)
    assert (overlay.a, overlay.b) == (1, 20)
    assert (module.a, module.b) == (1, 2)
    module.a = 5
    assert overlay.a == 5
    with pytest.raises(AttributeError, match="c"):
        overlay.c  # noqa: B018


def layers_of(backbone):
    return list(backbone._flatten_layers(include_self=False))


def has_random_state(layer):
    return bool(layer.__dict__.get("_seed_generators")) or any(
        isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values()
    )


def test_every_random_layer_of_a_backbone_is_ours():
    # This fails when keras-hub or Keras changes how it builds its blocks. Then
    # adapters would be missing, or dropout not reproducible, without an error.
    layers = layers_of(BertAdapterBackbone(**SIZES, adapter=AdapterConfig(4)))
    blocks = [x for x in layers if isinstance(x, keras_hub.layers.TransformerEncoder)]
    assert [type(x) for x in blocks] == [AdapterTransformerEncoder] * 3
    attention = [x for x in layers if isinstance(x, keras.layers.MultiHeadAttention)]
    assert [type(x) for x in attention] == [MultiHeadAttention] * 3
    dropouts = [x for x in layers if isinstance(x, keras.layers.Dropout)]
    assert {type(x) for x in dropouts} == {Dropout}
    # The embeddings'; in each block that on the attention's scores, those of
    # the two sub-layers, and those of the two adapters.
    assert len(dropouts) == 1 + 3 * (3 + 2)
    assert {type(x) for x in layers if has_random_state(x)} <= {
        Dropout,
        MultiHeadAttention,  # holds a seed for its dropout, and draws nothing
    }


def test_plain_models_stay_plain():
    BertAdapterBackbone(**SIZES, adapter=AdapterConfig(4))
    layers = layers_of(keras_hub.models.BertBackbone(**SIZES))
    ours = (Dropout, MultiHeadAttention, AdapterTransformerEncoder)
    assert not [x for x in layers if isinstance(x, ours)]
    blocks = [x for x in layers if isinstance(x, keras_hub.layers.TransformerEncoder)]
    assert len(blocks) == 3
    assert keras.layers.Dropout is not Dropout
