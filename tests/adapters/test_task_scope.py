"""`task_scope`: blocks that run with a task's tensors instead of their own."""

import keras
import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.models.block import (
    AdapterTransformerEncoder,
    LayerNormalization,
    task_scope,
)

HIDDEN = 8


class Own:
    """The tensors of an adapted block, as functions; remembers what was asked."""

    def __init__(self, block):
        self.block = block
        self.paths = []

    def adapt(self, block, site):
        self.paths.append(f"{block}/{site.name}")
        layer = self.block.adapter_layers().get(site.name)
        return site.outputs if layer is None else layer(site.outputs)

    def scale_and_shift(self, path, normalized):
        self.paths.append(path)
        name = path.rsplit("/", 1)[1]
        layer = {
            "self_attention_layer_norm": self.block._self_attention_layer_norm,
            "feedforward_layer_norm": self.block._feedforward_layer_norm,
        }[name]
        return normalized * layer.gamma + layer.beta


def block(adapter=None, name="block"):
    layer = AdapterTransformerEncoder(16, 2, adapter=adapter, name=name)
    layer.build((None, None, HIDDEN))
    return layer


def test_a_plain_block_in_a_scope_computes_the_adapted_block():
    random = np.random.default_rng(0)
    adapted, plain = block(AdapterConfig(3)), block(name="plain")
    for variable in adapted.weights:
        variable.assign(random.normal(0, 0.3, variable.shape))
    values = {v.path.split("/", 1)[1]: v for v in adapted.weights}
    for variable in plain.weights:
        path = variable.path.split("/", 1)[1]
        if "layer_norm" not in path:
            variable.assign(values[path])
    x = random.normal(size=(2, 5, HIDDEN)).astype("float32")
    functions = Own(adapted)
    with task_scope(functions):
        got = keras.ops.convert_to_numpy(plain(x))
    np.testing.assert_allclose(
        got, keras.ops.convert_to_numpy(adapted(x)), rtol=0, atol=1e-6
    )
    assert functions.paths == [
        "plain/query",
        "plain/key",
        "plain/value",
        "plain/attention_output",
        "plain/attention",
        "plain/self_attention_layer_norm",
        "plain/feed_forward",
        "plain/feedforward_layer_norm",
    ]
    assert np.abs(got - keras.ops.convert_to_numpy(plain(x))).max() > 0.1


def test_outside_a_scope_the_layer_norm_is_keras_own_to_the_bit():
    x = np.random.default_rng(1).normal(size=(3, HIDDEN)).astype("float32")
    ours, theirs = LayerNormalization(), keras.layers.LayerNormalization()
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(ours(x)), keras.ops.convert_to_numpy(theirs(x))
    )
