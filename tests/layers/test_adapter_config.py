"""Values that an `AdapterConfig` takes and refuses."""

import json

import pytest

from adapters_tf.layers import AdapterConfig

VARIANT = AdapterConfig(
    bottleneck_dim=None,
    reduction_factor=4.0,
    activation="relu",
    initializer_stddev=1e-3,
    zero_init=True,
    dropout=0.1,
    layer_norm=True,
    depth=2,
    parallel=True,
    sublayers=("feed_forward",),
    layers=(0, 2),
)


def test_default_is_the_papers():
    assert AdapterConfig().to_dict() == {
        "bottleneck_dim": 64,
        "reduction_factor": None,
        "activation": "gelu_tanh",
        "initializer_stddev": 1e-2,
        "zero_init": False,
        "dropout": 0.0,
        "layer_norm": False,
        "depth": 1,
        "parallel": False,
        "sublayers": ("attention", "feed_forward"),
        "layers": None,
    }


@pytest.mark.parametrize("config", [AdapterConfig(), VARIANT])
def test_round_trip_through_json(config):
    read = AdapterConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert read == config
    assert hash(read) == hash(config)


def test_lists_are_the_same_as_tuples():
    lists = AdapterConfig(sublayers=["attention"], layers=[0, 1])
    assert lists == AdapterConfig(sublayers=("attention",), layers=(0, 1))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sublayers": ()}, r"must name one or both of .* Received: sublayers=\(\)"),
        ({"sublayers": ("attentoin",)}, r"one or both .* sublayers=\('attentoin',\)"),
        ({"sublayers": "attention"}, "one or both .* sublayers=attention"),
        ({"sublayers": ("attention", "attention")}, "one or both .* Received: subl"),
        ({"layers": ()}, r"non-empty tuple of block indices .* Received: layers=\(\)"),
        ({"layers": (0, -1)}, r"block indices from 0. Received: layers=\(0, -1\)"),
        # What the layer checks is checked when the configuration is made.
        ({"bottleneck_dim": -4}, "positive integer. Received: bottleneck_dim=-4"),
        ({"reduction_factor": 2}, "exactly one of bottleneck_dim and reduction_factor"),
        (
            {"bottleneck_dim": None},
            "exactly one of bottleneck_dim and reduction_factor",
        ),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\). Received: dropout=1.0"),
        ({"activation": "gleu"}, "gleu"),
    ],
)
def test_bad_values(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdapterConfig(**arguments)


def test_unknown_field():
    with pytest.raises(ValueError, match=r"Unknown .* field\(s\): \['bottelneck'\]"):
        AdapterConfig.from_dict({"bottelneck": 8})
