"""The adapter against the formula of the paper, written out in NumPy."""

import math

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from adapters_tf.adapters import BottleneckAdapter
from adapters_tf.layers.dropout import Dropout

ACTIVATIONS = {
    "gelu_tanh": lambda x: (
        0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    ),
    "gelu": lambda x: 0.5 * x * (1 + scipy.special.erf(x / np.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "linear": lambda x: x,
}


def adapter_in_numpy(weights, x, activation, residual=True):
    """`weights`: path below the layer -> array."""
    w = {path: value.astype(np.float64) for path, value in weights.items()}
    h = x = x.astype(np.float64)
    if "layer_norm/gamma" in w:
        h = h - h.mean(axis=-1, keepdims=True)
        h = h / np.sqrt((h**2).mean(axis=-1, keepdims=True) + 1e-12)
        h = h * w["layer_norm/gamma"] + w["layer_norm/beta"]
    f = ACTIVATIONS[activation]
    h = f(h @ w["down_projection/kernel"] + w["down_projection/bias"])
    i = 1
    while f"bottleneck_layer_{i}/kernel" in w:
        h = f(h @ w[f"bottleneck_layer_{i}/kernel"] + w[f"bottleneck_layer_{i}/bias"])
        i += 1
    h = h @ w["up_projection/kernel"] + w["up_projection/bias"]
    return x + h if residual else h


def randomize(layer, scale=0.25, seed=0):
    """Give every variable a random value; returns them by path below the layer."""
    random = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(random.normal(0, scale, variable.shape))
    return {v.path.split("/", 1)[1]: v.numpy() for v in layer.weights}


def inputs(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def check_forward(x, activation="gelu_tanh", **options):
    layer = BottleneckAdapter(activation=activation, **options)
    layer.build(x.shape)
    weights = randomize(layer)
    expected = adapter_in_numpy(
        weights, x, activation, residual=options.get("residual", True)
    )
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_agrees_with_numpy(activation):
    check_forward(inputs(3, 5, 16), activation, bottleneck_dim=4)


@pytest.mark.parametrize(
    "options",
    [
        {"layer_norm": True},
        {"depth": 2},
        {"depth": 3},
        {"residual": False},
        {"layer_norm": True, "depth": 2, "residual": False},
        {"dropout": 0.5},  # none outside training
    ],
)
def test_variants_agree_with_numpy(options):
    check_forward(inputs(3, 5, 16), bottleneck_dim=4, **options)


@pytest.mark.parametrize("shape", [(2, 16), (2, 3, 4, 16)])
def test_forward_at_other_ranks(shape):
    check_forward(inputs(*shape), bottleneck_dim=4)


def test_forward_at_full_size_and_default_initialisation():
    x = inputs(2, 8, 768)
    layer = BottleneckAdapter(64)
    output = layer(x).numpy()
    weights = {v.path.split("/", 1)[1]: v.numpy() for v in layer.weights}
    np.testing.assert_allclose(
        output, adapter_in_numpy(weights, x, "gelu_tanh"), rtol=1e-6, atol=1e-6
    )
    # Near the identity, but not at it.
    moved = np.linalg.norm(output - x) / np.linalg.norm(x)
    assert 1e-4 < moved < 0.02


def test_default_initialisation():
    layer = BottleneckAdapter(256)
    layer.build((None, None, 768))
    for projection in (layer.down_projection, layer.up_projection):
        kernel = projection.kernel.numpy()
        assert not projection.bias.numpy().any()
        # A normal of sd 1e-2, cut at two of them, has this sd and mean 0.
        cut_sd = 1e-2 * math.sqrt(1 - 4 * math.exp(-2) / 2.5066283 / math.erf(2**0.5))
        assert 0.0199 < np.abs(kernel).max() <= 0.02
        assert kernel.std() == pytest.approx(cut_sd, rel=0.01)
        assert abs(kernel.mean()) < 5 * cut_sd / math.sqrt(kernel.size)
    assert not np.array_equal(
        layer.down_projection.kernel, layer.up_projection.kernel.numpy().T
    )


@pytest.mark.parametrize("options", [{"zero_init": True}, {"initializer_stddev": 0.0}])
@pytest.mark.parametrize("variant", [{}, {"layer_norm": True, "depth": 2}])
def test_zeroed_adapter_is_the_identity(options, variant):
    x = inputs(3, 5, 16)
    layer = BottleneckAdapter(4, **options, **variant)
    np.testing.assert_array_equal(layer(x), x)
    if "zero_init" in options:  # and only the up-projection is zero
        assert layer.down_projection.kernel.numpy().all()


@pytest.mark.parametrize("d", [384, 768, 1024])
@pytest.mark.parametrize("m", [1, 8, 64, 256])
def test_number_of_parameters(d, m):
    layer = BottleneckAdapter(m)
    layer.build((None, None, d))
    assert layer.count_params() == 2 * m * d + d + m


def test_number_of_parameters_of_the_variants():
    layer = BottleneckAdapter(8, layer_norm=True, depth=3)
    layer.build((None, None, 48))
    assert layer.count_params() == (2 * 8 * 48 + 48 + 8) + 2 * 48 + 2 * (8 * 8 + 8)


@pytest.mark.parametrize("factor, m", [(16, 48), (1.5, 512), (768, 1), (5000, 1)])
def test_reduction_factor(factor, m):
    layer = BottleneckAdapter(reduction_factor=factor)
    layer.build((None, None, 768))
    assert layer.down_projection.kernel.shape == (768, m)


def test_dropout_is_on_the_bottleneck_and_in_training_only():
    x = np.ones((4, 6, 16), np.float32)
    layer = BottleneckAdapter(64, dropout=0.5, residual=False, activation="linear")
    layer.build(x.shape)
    layer.down_projection.kernel.assign(np.zeros((16, 64)))
    layer.down_projection.bias.assign(np.ones(64))
    layer.up_projection.kernel.assign(np.ones((64, 16)))
    # Each output is the sum of the 64 units, so it shows how many were kept.
    np.testing.assert_array_equal(layer(x), 64)
    trained = layer(x, training=True).numpy()
    assert set(np.unique(trained)) <= {2.0 * n for n in range(65)}
    np.testing.assert_array_equal(trained, trained[..., :1].repeat(16, axis=-1))
    assert len(np.unique(trained[..., 0])) > 3
    assert type(layer.bottleneck_dropout) is Dropout


def test_config_round_trip():
    arguments = {
        "bottleneck_dim": None,
        "reduction_factor": 4,
        "activation": "relu",
        "initializer_stddev": 0.1,
        "zero_init": True,
        "dropout": 0.25,
        "layer_norm": True,
        "depth": 2,
        "residual": False,
    }
    layer = BottleneckAdapter(**arguments, name="mine", dtype="mixed_bfloat16")
    config = layer.get_config()
    assert {name: config[name] for name in arguments} == arguments
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is BottleneckAdapter
    assert copy.get_config() == config
    assert (copy.name, copy.dtype_policy.name) == ("mine", "mixed_bfloat16")


def test_saved_model_with_the_layer(tmp_path):
    x = inputs(2, 5, 16)
    sequence = keras.Input((None, 16))
    options = {"layer_norm": True, "depth": 2}
    model = keras.Model(sequence, BottleneckAdapter(4, **options)(sequence))
    randomize(model)
    model.save(tmp_path / "m.keras")
    read = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(read(x), model(x))


def test_mixed_precision():
    x = inputs(2, 5, 16)
    options = {"layer_norm": True, "depth": 2}
    exact, mixed = (
        BottleneckAdapter(4, dtype=dtype, **options)
        for dtype in ("float32", "mixed_bfloat16")
    )
    for layer in (exact, mixed):
        layer.build(x.shape)
        randomize(layer)
    output = mixed(x)
    assert output.dtype == tf.bfloat16
    assert {v.dtype for v in mixed.weights} == {"float32"}
    sublayers = list(mixed._flatten_layers(include_self=False))
    assert {layer.compute_dtype for layer in sublayers} == {"bfloat16"}
    np.testing.assert_allclose(keras.ops.cast(output, "float32"), exact(x), atol=0.05)


def test_under_xla_with_unknown_shape():
    layer = BottleneckAdapter(4)
    layer.build((None, None, 16))
    randomize(layer)
    compiled = tf.function(layer, jit_compile=True)
    for x in (inputs(2, 5, 16), inputs(3, 7, 16)):
        np.testing.assert_allclose(compiled(x), layer(x), rtol=1e-6, atol=1e-6)


class MaskProbe(keras.layers.Layer):
    """Keeps the mask that it is called with."""

    supports_masking = True

    def call(self, x, mask=None):
        self.seen = mask
        return x


def test_masks_pass_through():
    token_ids = np.array([[3, 1, 0], [2, 0, 0]])
    embedding = keras.layers.Embedding(5, 16, mask_zero=True)
    adapter, probe = BottleneckAdapter(4), MaskProbe()
    probe(adapter(embedding(token_ids)))
    assert adapter.supports_masking
    np.testing.assert_array_equal(probe.seen, token_ids != 0)


def test_output_shape():
    layer = BottleneckAdapter(4)
    assert layer.compute_output_shape((None, 7, 16)) == (None, 7, 16)
    assert layer(keras.KerasTensor((None, 7, 16))).shape == (None, 7, 16)


@pytest.mark.parametrize("value", [0, -4, 2.5, True, "8"])
@pytest.mark.parametrize("argument", ["bottleneck_dim", "depth"])
def test_sizes_must_be_positive_integers(argument, value):
    message = f"{argument} must be a positive integer. Received: {argument}={value}"
    with pytest.raises(ValueError, match=message):
        BottleneckAdapter(**{"bottleneck_dim": 8, argument: value})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "Give exactly one of .* bottleneck_dim=None, reduction_factor=None"),
        (
            {"bottleneck_dim": 8, "reduction_factor": 2},
            "Give exactly one of .* bottleneck_dim=8, reduction_factor=2",
        ),
        ({"reduction_factor": 0}, "must be positive. Received: reduction_factor=0"),
        ({"reduction_factor": -1.5}, "must be positive. .* reduction_factor=-1.5"),
        ({"reduction_factor": float("nan")}, "positive. .* reduction_factor=nan"),
        (
            {"bottleneck_dim": 8, "initializer_stddev": -1},
            "must be 0 or more. Received: initializer_stddev=-1",
        ),
        (
            {"bottleneck_dim": 8, "initializer_stddev": float("nan")},
            "must be 0 or more. Received: initializer_stddev=nan",
        ),
        (
            {"bottleneck_dim": 8, "dropout": 1.0},
            r"dropout must be in \[0, 1\). Received: dropout=1.0",
        ),
        (
            {"bottleneck_dim": 8, "dropout": -0.1},
            r"dropout must be in \[0, 1\). Received: dropout=-0.1",
        ),
        ({"bottleneck_dim": 8, "activation": "gleu"}, "gleu"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BottleneckAdapter(**arguments)
