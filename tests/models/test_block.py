"""The encoder block against keras-hub's; `tests/adapters` has it against NumPy."""

import keras
import keras_hub
import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.models.block import AdapterTransformerEncoder

HIDDEN, HEADS, LENGTH = 16, 2, 6
SIZES = {"intermediate_dim": 32, "num_heads": HEADS, "name": "block"}

PADDING_MASK = np.arange(LENGTH) < np.array([[6], [4], [1]])
ATTENTION_MASK = np.tril(np.ones((3, LENGTH, LENGTH), bool))
MASKS = [
    {},
    {"padding_mask": PADDING_MASK},
    {"attention_mask": ATTENTION_MASK},
    {"padding_mask": PADDING_MASK, "attention_mask": ATTENTION_MASK},
    {"padding_mask": PADDING_MASK.astype("int32")},
]

BLOCK_PATHS = [
    "block/self_attention_layer/query/kernel",
    "block/self_attention_layer/query/bias",
    "block/self_attention_layer/key/kernel",
    "block/self_attention_layer/key/bias",
    "block/self_attention_layer/value/kernel",
    "block/self_attention_layer/value/bias",
    "block/self_attention_layer/attention_output/kernel",
    "block/self_attention_layer/attention_output/bias",
    "block/self_attention_layer_norm/gamma",
    "block/self_attention_layer_norm/beta",
    "block/feedforward_layer_norm/gamma",
    "block/feedforward_layer_norm/beta",
    "block/feedforward_intermediate_dense/kernel",
    "block/feedforward_intermediate_dense/bias",
    "block/feedforward_output_dense/kernel",
    "block/feedforward_output_dense/bias",
]
ADAPTER_PATHS = [
    "block/attention_adapter/down_projection/kernel",
    "block/attention_adapter/down_projection/bias",
    "block/attention_adapter/up_projection/kernel",
    "block/attention_adapter/up_projection/bias",
    "block/feed_forward_adapter/down_projection/kernel",
    "block/feed_forward_adapter/down_projection/bias",
    "block/feed_forward_adapter/up_projection/kernel",
    "block/feed_forward_adapter/up_projection/bias",
]


def inputs():
    values = np.random.default_rng(1).normal(size=(3, LENGTH, HIDDEN))
    return values.astype(np.float32)


def make_block(cls=AdapterTransformerEncoder, **options):
    """A block whose variables are random, the same for the same paths."""
    block = cls(**{**SIZES, **options})
    block.build((None, None, HIDDEN))
    for variable in block.weights:
        seed = sum(map(ord, variable.path))
        values = np.random.default_rng(seed).normal(0, 0.3, variable.shape)
        if not (block_is_zeroed(block) and "up_projection" in variable.path):
            variable.assign(values)
    return block


def block_is_zeroed(block):
    adapter = getattr(block, "adapter", None)
    return adapter is not None and adapter.zero_init


ZEROED = AdapterConfig(4, zero_init=True)


@pytest.mark.parametrize("masks", MASKS, ids=lambda m: "+".join(m) or "no mask")
@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize("adapter", [None, ZEROED], ids=["none", "zeroed"])
def test_equals_the_plain_block_bit_for_bit(masks, normalize_first, adapter):
    options = {"normalize_first": normalize_first, "activation": "gelu"}
    plain = make_block(keras_hub.layers.TransformerEncoder, **options)
    block = make_block(adapter=adapter, **options)
    np.testing.assert_array_equal(block(inputs(), **masks), plain(inputs(), **masks))
    expected = plain(inputs(), **masks, return_attention_scores=True)
    received = block(inputs(), **masks, return_attention_scores=True)
    assert len(received) == 2
    for one, other in zip(received, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("normalize_first", [False, True])
def test_equals_the_plain_block_with_a_mask_of_keras(normalize_first):
    token_ids = np.array([[3, 1, 0, 0], [2, 1, 4, 0]])
    embedding = keras.layers.Embedding(5, HIDDEN, mask_zero=True)
    embedding.build()
    embedding.embeddings.assign(np.random.default_rng(0).normal(size=(5, HIDDEN)))
    options = {"normalize_first": normalize_first}
    plain = make_block(keras_hub.layers.TransformerEncoder, **options)
    block = make_block(adapter=ZEROED, **options)
    expected = plain(embedding(token_ids))
    np.testing.assert_array_equal(block(embedding(token_ids)), expected)
    unmasked = block(keras.ops.convert_to_tensor(embedding(token_ids).numpy()))
    assert np.abs(unmasked - expected).max() > 1e-3


def test_adapters_that_read_the_layer_norm_have_the_variables_of_serial_ones():
    masks = {"padding_mask": PADDING_MASK, "attention_mask": ATTENTION_MASK}
    block = make_block(adapter=AdapterConfig(4, reads_layer_norm=True))
    serial = make_block(adapter=AdapterConfig(4))
    assert [v.path for v in serial.weights] == [v.path for v in block.weights]
    assert np.abs(serial(inputs(), **masks) - block(inputs(), **masks)).max() > 0.1


def test_one_sublayer_only():
    block = make_block(adapter=AdapterConfig(4, sublayers=("attention",)))
    assert block.attention_adapter is not None
    assert block.feed_forward_adapter is None
    assert [v.path for v in block.weights] == BLOCK_PATHS + ADAPTER_PATHS[:4]
    block = make_block(adapter=AdapterConfig(4, sublayers=("feed_forward",)))
    assert block.attention_adapter is None
    assert [v.path for v in block.weights] == BLOCK_PATHS + ADAPTER_PATHS[4:]


@pytest.mark.parametrize("way", ["build", "call", "symbolic"])
def test_variable_paths(way):
    # Adapter files name tensors by these paths: a change breaks every file.
    block = AdapterTransformerEncoder(**SIZES, adapter=AdapterConfig(4))
    if way == "build":
        block.build((None, None, HIDDEN))
    else:
        block(inputs() if way == "call" else keras.Input((None, HIDDEN)))
    assert [v.path for v in block.weights] == BLOCK_PATHS + ADAPTER_PATHS
    plain = make_block(keras_hub.layers.TransformerEncoder)
    assert [v.path for v in plain.weights] == BLOCK_PATHS


def test_options_reach_the_adapters():
    config = AdapterConfig(
        bottleneck_dim=None,
        reduction_factor=4,
        activation="relu",
        dropout=0.3,
        layer_norm=True,
        depth=2,
        parallel=True,
        layers=(0,),
    )
    block = make_block(adapter=config, dtype="mixed_bfloat16")
    for layer in (block.attention_adapter, block.feed_forward_adapter):
        assert layer.down_projection.kernel.shape == (HIDDEN, 4)
        assert layer.get_config()["activation"] == "relu"
        assert layer.bottleneck_dropout.rate == 0.3
        assert len(layer.bottleneck_layers) == 1
        assert layer.input_layer_norm is not None
        assert layer.residual is False
        assert layer.compute_dtype == "bfloat16"


@pytest.mark.parametrize("adapter", [None, AdapterConfig(4, layers=(1, 2))])
def test_config_round_trip(adapter):
    block = make_block(
        adapter=adapter, dropout=0.1, activation="gelu", normalize_first=True
    )
    copy = keras.layers.deserialize(keras.layers.serialize(block))
    assert type(copy) is AdapterTransformerEncoder
    assert copy.adapter == adapter
    assert copy.get_config() == block.get_config()
    for one, other in zip(copy.weights, block.weights, strict=True):
        one.assign(other)
    np.testing.assert_array_equal(copy(inputs()), block(inputs()))


def test_adapter_may_be_a_dict():
    config = AdapterConfig(4)
    assert make_block(adapter=config.to_dict()).adapter == config
