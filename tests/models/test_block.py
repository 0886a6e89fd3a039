"""The encoder block against keras-hub's, and against NumPy."""

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


def test_default_adapters_stay_near_the_plain_block():
    x = inputs()
    plain = make_block(keras_hub.layers.TransformerEncoder)
    block = AdapterTransformerEncoder(**SIZES, adapter=AdapterConfig(8))
    block.build(x.shape)
    for variable in block.weights:
        if "adapter" not in variable.path:
            variable.assign({v.path: v for v in plain.weights}[variable.path])
    moved = np.abs(block(x) - plain(x)).max()
    assert 0 < moved < 0.02


# A whole block in NumPy, from the paper's figure 2 and the Transformer's paper.


def layer_norm(x, gamma, beta, epsilon=1e-5):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * gamma + beta


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


class NumpyBlock:
    def __init__(self, block, parallel=False, normalize_first=False, pfeiffer=False):
        self.w = {
            v.path.removeprefix("block/"): v.numpy().astype(np.float64)
            for v in block.weights
        }
        self.parallel = parallel
        self.pfeiffer = pfeiffer
        self.normalize_first = normalize_first

    def dense(self, name, x):
        return x @ self.w[f"{name}/kernel"] + self.w[f"{name}/bias"]

    def attention(self, x, mask):
        def project(name):
            kernel = self.w[f"self_attention_layer/{name}/kernel"]
            bias = self.w[f"self_attention_layer/{name}/bias"]
            return np.einsum("bld,dhk->bhlk", x, kernel) + bias[:, None, :]

        q, k, v = project("query"), project("key"), project("value")
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(HIDDEN // HEADS)
        scores = np.where(mask[:, None, :, :], scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        heads = scores / scores.sum(axis=-1, keepdims=True) @ v
        kernel = self.w["self_attention_layer/attention_output/kernel"]
        output = np.einsum("bhlk,hkd->bld", heads, kernel)
        return output + self.w["self_attention_layer/attention_output/bias"]

    def feed_forward(self, x):
        x = np.maximum(self.dense("feedforward_intermediate_dense", x), 0)
        return self.dense("feedforward_output_dense", x)

    def adapter(self, name, x):
        if f"{name}/down_projection/kernel" not in self.w:
            return 0
        x = gelu_tanh(self.dense(f"{name}/down_projection", x))
        return self.dense(f"{name}/up_projection", x)

    def sublayer(self, x, function, adapter, norm):
        norm = self.w[f"{norm}/gamma"], self.w[f"{norm}/beta"]
        source = layer_norm(x, *norm) if self.normalize_first else x
        output = function(source)
        if self.pfeiffer:  # AdapterHub's pre_forward, forward and post_forward
            normalized = layer_norm(output + x, *norm)
            return layer_norm(self.adapter(adapter, normalized) + output + x, *norm)
        output = output + self.adapter(adapter, source if self.parallel else output)
        return x + output if self.normalize_first else layer_norm(x + output, *norm)

    def __call__(self, x, mask):
        x = self.sublayer(
            x.astype(np.float64),
            lambda x: self.attention(x, mask),
            "attention_adapter",
            "self_attention_layer_norm",
        )
        return self.sublayer(
            x, self.feed_forward, "feed_forward_adapter", "feedforward_layer_norm"
        )


@pytest.mark.parametrize("parallel", [False, True], ids=["serial", "parallel"])
@pytest.mark.parametrize("normalize_first", [False, True])
@pytest.mark.parametrize(
    "sublayers", [("attention", "feed_forward"), ("attention",), ("feed_forward",)]
)
def test_block_agrees_with_numpy(parallel, normalize_first, sublayers):
    adapter = AdapterConfig(4, parallel=parallel, sublayers=sublayers)
    block = make_block(adapter=adapter, normalize_first=normalize_first)
    expected = NumpyBlock(block, parallel, normalize_first)(
        inputs(), PADDING_MASK[:, None, :] & ATTENTION_MASK
    )
    output = block(inputs(), PADDING_MASK, ATTENTION_MASK)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    # And that is not what the block without its adapters gives.
    plain = make_block(normalize_first=normalize_first)
    assert np.abs(plain(inputs(), PADDING_MASK, ATTENTION_MASK) - output).max() > 0.1


@pytest.mark.parametrize(
    "sublayers", [("attention", "feed_forward"), ("feed_forward",)]
)
def test_block_whose_adapters_read_the_layer_norm_agrees_with_numpy(sublayers):
    adapter = AdapterConfig(4, reads_layer_norm=True, sublayers=sublayers)
    block = make_block(adapter=adapter)
    mask = PADDING_MASK[:, None, :] & ATTENTION_MASK
    output = block(inputs(), PADDING_MASK, ATTENTION_MASK)
    expected = NumpyBlock(block, pfeiffer=True)(inputs(), mask)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    serial = make_block(adapter=AdapterConfig(4, sublayers=sublayers))
    assert [v.path for v in serial.weights] == [v.path for v in block.weights]
    assert np.abs(serial(inputs(), PADDING_MASK, ATTENTION_MASK) - output).max() > 0.1


def test_adapters_that_read_the_layer_norm_need_one_that_comes_last():
    adapter = AdapterConfig(4, reads_layer_norm=True)
    with pytest.raises(ValueError, match="LayerNorms come last. Received: normalize_f"):
        make_block(adapter=adapter, normalize_first=True)


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
