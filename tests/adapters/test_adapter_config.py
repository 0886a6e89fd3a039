"""Values that an `AdapterConfig` takes and refuses."""

import json

import pytest

from adapters_tf.adapters import AdapterConfig

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
        "reads_layer_norm": False,
        "sublayers": ("attention", "feed_forward"),
        "layers": None,
        "layer_norm_layers": None,
    }


@pytest.mark.parametrize("config", [AdapterConfig(), VARIANT])
def test_round_trip_through_json(config):
    read = AdapterConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert read == config
    assert hash(read) == hash(config)


def test_a_factor_takes_the_place_of_the_default_size():
    config = AdapterConfig(reduction_factor=16)
    assert (config.bottleneck_dim, config.reduction_factor) == (None, 16)
    assert AdapterConfig(None) == AdapterConfig(64)


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
        (
            {"parallel": True, "reads_layer_norm": True},
            "one input: parallel=True or reads_layer_norm=True, not both",
        ),
        ({"layers": ()}, r"non-empty tuple of block indices .* Received: layers=\(\)"),
        # What the layer checks is checked when the configuration is made.
        ({"bottleneck_dim": -4}, "positive integer. Received: bottleneck_dim=-4"),
        (
            {"bottleneck_dim": 8, "reduction_factor": 2},
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


def test_layers_that_count_from_the_top():
    config = AdapterConfig(layers=(-1, 0, -2))
    assert config.for_blocks(12).layers == (0, 10, 11)
    assert config.for_blocks(2).layers == (0, 1)
    assert AdapterConfig().for_blocks(3) == AdapterConfig()
    message = r"from 0 to 2, or from -3 to -1 from the top. Received: layers=\(-4,\)"
    with pytest.raises(ValueError, match=message):
        AdapterConfig(layers=(-4,)).for_blocks(3)
    with pytest.raises(ValueError, match=r"from 0 to 2, .* Received: layers=\(3,\)"):
        AdapterConfig(layers=(3,)).for_blocks(3)
