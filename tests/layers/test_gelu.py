"""GELU with a gradient by hand, against Keras's own and its gradient."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.layers.activations import gelu, gelu_tanh, recomputable, recompute_gelu
from adapters_tf.models.block import AdapterTransformerEncoder

X = np.concatenate([np.linspace(-9, 9, 181), [-200, -1e-6, 0, 1e-6, 200]])


def value_and_gradient(function, x, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y, tape.gradient(y, x, upstream)


@pytest.mark.parametrize("ours, approximate", [(gelu, False), (gelu_tanh, True)])
@pytest.mark.parametrize("graph", [False, True])
def test_equals_keras_in_float32(ours, approximate, graph):
    upstream = np.random.default_rng(0).normal(size=X.shape)

    def run(function, dtype="float32"):
        x, dy = tf.constant(X, dtype), tf.constant(upstream, dtype)
        call = functools.partial(value_and_gradient, function)
        return (tf.function(call, autograph=False) if graph else call)(x, dy)

    # Keras's own in float32 is 0 where tanh is -1 but for rounding.
    y, gradient = run(
        lambda x: keras.activations.gelu(x, approximate=approximate), "float64"
    )
    with recompute_gelu():
        own, own_gradient = run(ours)
    plain, plain_gradient = run(ours)
    for found in (own, plain):
        np.testing.assert_allclose(found, y, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(own_gradient, gradient, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain_gradient, gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ours, approximate", [(gelu, False), (gelu_tanh, True)])
def test_gradient_in_bfloat16_is_nearer_to_the_true_one(ours, approximate):
    x = tf.cast(tf.constant(X[:181], tf.float32), tf.bfloat16)
    one = tf.ones_like(x)
    plain = lambda x: keras.activations.gelu(x, approximate=approximate)  # noqa: E731
    exact = value_and_gradient(plain, tf.cast(x, tf.float64), tf.cast(one, tf.float64))
    with recompute_gelu():
        y, gradient = value_and_gradient(ours, x, one)
    keras_y, keras_gradient = value_and_gradient(plain, x, one)
    assert gradient.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(y, "float32"), tf.cast(keras_y, "float32"))

    def error(values):
        return np.abs(tf.cast(values, tf.float64) - exact[1]).max()

    # Half a unit in the last of bfloat16's 8 places, for values up to 1.13.
    assert error(gradient) <= 2**-8 < error(keras_gradient)


def test_blocks_and_adapters_compute_it():
    """Fails when keras-hub names its GELU otherwise."""
    from keras_hub.models import BertBackbone, RobertaBackbone

    from adapters_tf.adapters import AdapterConfig
    from adapters_tf.models.backbones import BertAdapterBackbone, ExactGeluBertBackbone

    sizes = {"vocabulary_size": 9, "num_layers": 1, "num_heads": 1}
    sizes |= {"hidden_dim": 4, "intermediate_dim": 8, "max_sequence_length": 4}
    backbone = BertAdapterBackbone(**sizes, adapter=AdapterConfig(2))
    (block,) = (b for b in backbone.layers if isinstance(b, AdapterTransformerEncoder))
    assert block._feedforward_intermediate_dense.activation is gelu_tanh
    assert block.attention_adapter._activation is gelu_tanh
    # What each base is made of gets one or the other, and relu stays as it is.
    for base, ours in (
        (BertBackbone, gelu_tanh),
        (RobertaBackbone, gelu),
        (ExactGeluBertBackbone, gelu),
    ):
        (block,) = (
            layer
            for layer in base(**sizes).layers
            if type(layer).__name__ == "TransformerEncoder"
        )
        assert recomputable(block.activation) is ours
    assert recomputable(keras.activations.relu) is keras.activations.relu
