"""Backbones with adapters beside the plain ones that they are made from."""

import keras
import keras_hub
import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.layers.dropout import dropout_scope
from adapters_tf.models.backbones import BertAdapterBackbone

ZEROED = AdapterConfig(4, zero_init=True)


def assert_same(outputs, expected):
    assert set(outputs) == set(expected)
    for name, value in outputs.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("adapter", [None, ZEROED], ids=["none", "zeroed"])
def test_from_backbone_equals_plain_bit_for_bit(plain, adapted, inputs, adapter):
    x = inputs()
    assert_same(adapted(adapter)(x), plain(x))
    assert_same(adapted(adapter).predict(x, verbose=0), plain.predict(x, verbose=0))


def test_default_adapters_stay_near_plain(plain, adapted, inputs):
    x = inputs()
    expected = plain(x)["sequence_output"].numpy()
    moved = []
    for stddev in (1e-3, 1e-2, 1e-1):
        adapter = AdapterConfig(4, initializer_stddev=stddev)
        output = adapted(adapter)(x)["sequence_output"]
        moved.append(np.linalg.norm(output - expected) / np.linalg.norm(expected))
    assert 0 < moved[0] < moved[1] < moved[2]
    assert moved[1] < 0.01


def test_the_copy_is_independent(plain, adapted, inputs):
    before = [v.numpy() for v in plain.weights]
    backbone = adapted()
    for variable in backbone.weights:
        variable.assign(variable + 1)
        variable.trainable = False
    for variable, value in zip(plain.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)
        assert variable.trainable


def test_from_a_saved_preset(plain, saved_preset, inputs):
    backbone = BertAdapterBackbone.from_preset(saved_preset, adapter=ZEROED)
    assert backbone.adapter == ZEROED
    assert_same(backbone(inputs()), plain(inputs()))


@pytest.mark.parametrize(
    "style",
    [{}, {"prefix": ""}, {"gamma": "gamma", "beta": "beta"}],
    ids=["bert.", "no prefix", "old names"],
)
def test_from_a_hugging_face_directory(plain, hugging_face_directory, inputs, style):
    path = hugging_face_directory(**style)
    loaded = keras_hub.models.BertBackbone.from_preset(path)
    backbone = BertAdapterBackbone.from_preset(path, adapter=ZEROED)
    assert_same(backbone(inputs()), loaded(inputs()))
    # The tensors that the test wrote are those of `plain`.
    assert_same(backbone(inputs()), plain(inputs()))


def test_from_preset_without_weights(plain, saved_preset):
    backbone = BertAdapterBackbone.from_preset(saved_preset, load_weights=False)
    kernel = backbone.get_layer("pooled_dense").kernel.numpy()
    assert (kernel != plain.get_layer("pooled_dense").kernel.numpy()).all()


def test_a_preset_saved_with_adapters(adapted, inputs, randomize, tmp_path):
    backbone = adapted()
    randomize(backbone, seed=5)
    backbone.save_to_preset(str(tmp_path / "preset"))
    read = BertAdapterBackbone.from_preset(str(tmp_path / "preset"))
    assert (read.adapter, read.fingerprint) == (backbone.adapter, backbone.fingerprint)
    assert_same(read(inputs()), backbone(inputs()))
    same = BertAdapterBackbone.from_preset(
        str(tmp_path / "preset"), adapter=AdapterConfig(4)
    )
    assert same.adapter == AdapterConfig(4)
    with pytest.raises(ValueError, match="holds adapters of its own.*bottleneck_dim=8"):
        BertAdapterBackbone.from_preset(
            str(tmp_path / "preset"), adapter=AdapterConfig(8)
        )


def test_config_round_trip(adapted, inputs):
    backbone = adapted(AdapterConfig(4, layers=(1,), sublayers=("attention",)))
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(backbone)
    )
    assert type(copy) is BertAdapterBackbone
    assert copy.adapter == backbone.adapter
    assert copy.fingerprint == backbone.fingerprint
    assert copy.get_config() == backbone.get_config()
    assert [v.path for v in copy.weights] == [v.path for v in backbone.weights]


def test_variable_paths_are_unique_and_those_of_plain(plain, adapted):
    backbone = adapted()
    paths = [v.path for v in backbone.weights]
    assert len(set(paths)) == len(paths)
    assert [v.path for v in backbone.base_variables()] == [
        v.path for v in plain.weights
    ]
    assert [v.path for v in backbone.adapter_variables()] == [
        f"transformer_layer_{i}/{sublayer}_adapter/{projection}_projection/{variable}"
        for i in range(2)
        for sublayer in ("attention", "feed_forward")
        for projection in ("down", "up")
        for variable in ("kernel", "bias")
    ]
    # Names do not count upwards from one model to the next.
    assert [v.path for v in adapted().weights] == paths


def test_subset_of_blocks(plain, adapted, inputs):
    backbone = adapted(AdapterConfig(4, layers=(1,)))
    first, second = backbone.encoder_blocks
    assert first.attention_adapter is None and first.feed_forward_adapter is None
    assert second.attention_adapter is not None
    assert {v.path.split("/")[0] for v in backbone.adapter_variables()} == {
        "transformer_layer_1"
    }


def test_block_that_is_not_there(adapted):
    with pytest.raises(
        ValueError, match=r"indices of encoder blocks, from 0 to 1. .* layers=\(0, 2\)"
    ):
        adapted(AdapterConfig(4, layers=(0, 2)))


def test_from_backbone_of_another_class(sizes):
    roberta = keras_hub.models.RobertaBackbone(**sizes)
    with pytest.raises(
        ValueError, match="made from a BertBackbone. .* RobertaBackbone"
    ):
        BertAdapterBackbone.from_backbone(roberta)
    with pytest.raises(ValueError, match="BertBackbone. Received: BertAdapterBackbone"):
        BertAdapterBackbone.from_backbone(BertAdapterBackbone(**sizes))


def test_dropout_is_the_same_for_shares_of_a_batch(adapted, inputs):
    backbone, x = adapted(AdapterConfig(4, dropout=0.1)), inputs(8)

    def run(rows, first_row=0, step=5):
        with dropout_scope(3, step, first_row):
            share = {name: value[rows] for name, value in x.items()}
            return backbone(share, training=True)["sequence_output"].numpy()

    whole = run(slice(None))
    shares = np.concatenate([run(slice(0, 3)), run(slice(3, 8), first_row=3)])
    np.testing.assert_allclose(shares, whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(run(slice(None)), whole)
    assert np.abs(run(slice(None), step=6) - whole).max() > 0.1
    assert np.abs(backbone(x)["sequence_output"] - whole).max() > 0.1


def test_fingerprint(plain, adapted, saved_preset, sizes, randomize):
    backbone = adapted()
    assert backbone.fingerprint.startswith("sha256:")
    assert len(backbone.fingerprint) == len("sha256:") + 64
    for other in (
        adapted(None),
        adapted(dtype="mixed_bfloat16"),
        BertAdapterBackbone.from_preset(saved_preset, adapter=AdapterConfig(8)),
    ):
        assert other.fingerprint == backbone.fingerprint
    changed = keras_hub.models.BertBackbone(**sizes)
    randomize(changed)
    make = BertAdapterBackbone.from_backbone
    assert make(changed).fingerprint == backbone.fingerprint
    bias = changed.get_layer("pooled_dense").bias
    bias.assign(bias + 1e-6)
    assert make(changed).fingerprint != backbone.fingerprint
    # The same weights with another number of heads compute something else.
    heads = keras_hub.models.BertBackbone(**{**sizes, "num_heads": 1})
    for variable, source in zip(heads.weights, plain.weights, strict=True):
        variable.assign(source.numpy().reshape(variable.shape))
    assert make(heads).fingerprint != backbone.fingerprint


def test_fingerprint_of_half_precision_weights(sizes):
    plain = keras_hub.models.BertBackbone(**sizes, dtype="bfloat16")
    assert BertAdapterBackbone.from_backbone(plain).fingerprint.startswith("sha256:")
