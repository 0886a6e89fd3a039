"""Which variables each tuning method trains."""

import keras_hub
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.trainable_set import (
    Tuning,
    apply_trainable_set,
    num_frozen_blocks,
    trainable_set,
)
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer

LAYERS = 3
HEAD = {"logits/kernel", "logits/bias"}
POOLER = {"pooled_dense/kernel", "pooled_dense/bias"}
EMBEDDINGS = {
    f"{name}_embedding/embeddings" for name in ("token", "position", "segment")
}
LAYER_NORMS = {"embeddings_layer_norm/gamma", "embeddings_layer_norm/beta"} | {
    f"transformer_layer_{i}/{sublayer}_layer_norm/{variable}"
    for i in range(LAYERS)
    for sublayer in ("self_attention", "feedforward")
    for variable in ("gamma", "beta")
}
ADAPTERS = {
    f"transformer_layer_{i}/{sublayer}_adapter/{layer}_projection/{variable}"
    for i in range(LAYERS)
    for sublayer in ("attention", "feed_forward")
    for layer in ("down", "up")
    for variable in ("kernel", "bias")
}


def block(i):
    name = f"transformer_layer_{i}"
    dense = [f"self_attention_layer/{x}" for x in ("query", "key", "value")]
    dense += ["self_attention_layer/attention_output"]
    dense += ["feedforward_intermediate_dense", "feedforward_output_dense"]
    return {
        f"{name}/{x}/{variable}" for x in dense for variable in ("kernel", "bias")
    } | {path for path in LAYER_NORMS if path.startswith(f"{name}/")}


def make_model(sizes, tuning, adapter=None, head_input="cls"):
    backbone = BertAdapterBackbone(**{**sizes, "num_layers": LAYERS}, adapter=adapter)
    return AdapterTextClassifier(
        backbone, num_classes=2, head_input=head_input, tuning=tuning
    )


def paths(variables):
    variables = [v.path for v in variables]
    assert len(set(variables)) == len(variables)
    return set(variables)


CASES = [
    (Tuning("adapters"), AdapterConfig(4), ADAPTERS | LAYER_NORMS | HEAD),
    (
        Tuning("adapters"),
        AdapterConfig(4, layers=(2,), layer_norm_layers=(0, 1, 2)),
        {p for p in ADAPTERS if p.startswith("transformer_layer_2/")}
        | LAYER_NORMS
        | HEAD,
    ),
    (
        Tuning("adapters"),
        AdapterConfig(4, layers=(0,), layer_norm_layers=(1,)),
        {p for p in ADAPTERS if p.startswith("transformer_layer_0/")}
        | {p for p in LAYER_NORMS if p.startswith("transformer_layer_1/")}
        | HEAD,
    ),
    (Tuning("adapters_only"), AdapterConfig(4), ADAPTERS | HEAD),
    (Tuning("layer_norm"), None, LAYER_NORMS | HEAD),
    (Tuning("head"), None, HEAD),
    (Tuning("top_n", 1), None, block(2) | HEAD),
    (Tuning("top_n", 2), None, block(2) | block(1) | HEAD),
    (Tuning("top_n", 3), None, block(2) | block(1) | block(0) | HEAD),
    (
        Tuning("full"),
        None,
        EMBEDDINGS | LAYER_NORMS | block(0) | block(1) | block(2) | HEAD,
    ),
]


@pytest.mark.parametrize(
    "tuning, adapter, expected",
    CASES,
    ids=[f"{c[0].method}{c[0].top_n}" for c in CASES],
)
@pytest.mark.parametrize("head_input", ["cls", "pooled"])
def test_exact_paths(sizes, tuning, adapter, expected, head_input):
    model = make_model(sizes, tuning, adapter, head_input)
    # The pooler is trained by the methods that train what is below the head,
    # if the head reads it; with adapters it is used and stays frozen.
    if head_input == "pooled" and tuning.method in ("full", "top_n"):
        expected = expected | POOLER
    assert paths(trainable_set(model, tuning)) == expected
    assert paths(model.trainable_variables) == expected
    frozen = paths(model.weights) - expected
    assert paths(model.non_trainable_variables) >= frozen


def test_layer_norms_inside_adapters_are_counted_once(sizes):
    model = make_model(sizes, "adapters", AdapterConfig(4, layer_norm=True))
    inside = {
        f"transformer_layer_{i}/{sublayer}_adapter/layer_norm/{variable}"
        for i in range(LAYERS)
        for sublayer in ("attention", "feed_forward")
        for variable in ("gamma", "beta")
    }
    expected = ADAPTERS | LAYER_NORMS | HEAD | inside
    assert paths(model.trainable_variables) == expected


@pytest.mark.parametrize("layers", [(1,), (2, 1), (0, 2), (0, 1, 2)])
def test_a_block_without_adapters_is_the_base_s_own(sizes, layers):
    model = make_model(sizes, "adapters", AdapterConfig(4, layers=layers))
    names = tuple(f"transformer_layer_{i}/" for i in layers)
    # The embeddings' LayerNorm goes with the first block's.
    names += ("embeddings_layer_norm/",) if 0 in layers else ()
    expected = {p for p in ADAPTERS | LAYER_NORMS if p.startswith(names)} | HEAD
    assert paths(model.trainable_variables) == expected


@pytest.mark.parametrize(
    ("tuning", "layers", "expected"),
    [
        ("adapters", None, 0),
        ("adapters", (0, 2), 0),
        ("adapters", (2, 1), 1),
        ("adapters", (2,), 2),
        (Tuning("top_n", 1), (), 2),
        (Tuning("top_n", 2), (), 1),
        # Its embeddings are frozen, and no block is.
        (Tuning("top_n", 3), (), 0),
        ("layer_norm", (), 0),
        ("full", (), 0),
        ("head", (), 3),
    ],
)
def test_blocks_below_all_that_is_trained(sizes, tuning, layers, expected):
    adapter = None if layers == () else AdapterConfig(4, layers=layers)
    model = make_model(sizes, tuning, adapter, head_input="pooled")
    assert num_frozen_blocks(model.backbone, Tuning.of(tuning)) == expected
    backbone = model.backbone
    assert backbone.num_fixed_blocks == expected
    fixed = [block.fixed for block in backbone.encoder_blocks]
    assert fixed == [i < expected for i in range(LAYERS)]
    assert backbone.embeddings_dropout.fixed == (expected > 0)


@pytest.mark.parametrize("field", ["layers", "layer_norm_layers"])
def test_blocks_that_are_not_there(sizes, field):
    config = AdapterConfig(4, **{field: (1, LAYERS)})
    with pytest.raises(ValueError, match=f"{field} must be indices of encoder blocks"):
        make_model(sizes, "adapters", config)
    with pytest.raises(ValueError, match=f"Received: {field}="):
        config.for_blocks(LAYERS)
    resolved = AdapterConfig(4, **{field: (-1, 0)}).for_blocks(LAYERS)
    assert getattr(resolved, field) == (0, LAYERS - 1)


def test_another_method_fixes_other_blocks(sizes):
    model = make_model(sizes, "head")
    apply_trainable_set(model, Tuning("full"))
    assert model.backbone.num_fixed_blocks == 0
    assert not any(block.fixed for block in model.backbone.encoder_blocks)


def test_question_answerer(sizes):
    backbone = BertAdapterBackbone(**{**sizes, "num_layers": LAYERS})
    model = AdapterQuestionAnswerer(backbone, tuning="full")
    assert paths(model.trainable_variables) & (POOLER | HEAD) == HEAD


def test_pure_and_applied(sizes):
    model = make_model(sizes, "full")
    before = [v.trainable for v in model.weights]
    smaller = trainable_set(model, Tuning("head"))
    assert [v.trainable for v in model.weights] == before
    assert paths(smaller) == HEAD
    apply_trainable_set(model, Tuning("head"))
    assert paths(model.trainable_variables) == HEAD
    apply_trainable_set(model, Tuning("full"))
    assert [v.trainable for v in model.weights] == before


def test_order_is_that_of_the_model(sizes):
    model = make_model(sizes, "adapters", AdapterConfig(4))
    ids = {id(v) for v in model.trainable_variables}
    chosen = trainable_set(model, Tuning())
    assert [id(v) for v in chosen] == [id(v) for v in model.weights if id(v) in ids]


def test_tuning_from_other_forms():
    assert Tuning.of("head") == Tuning("head") == Tuning.of(Tuning("head"))
    assert Tuning.of({"method": "top_n", "top_n": 2}) == Tuning("top_n", 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("adapter",), "must be one of adapters, full, .* Received: 'adapter'"),
        (("top_n",), "goes with tuning='top_n' .* tuning='top_n', top_n=None"),
        (("full", 2), "only with it. Received: tuning='full', top_n=2"),
    ],
)
def test_bad_tuning(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tuning(*arguments)


@pytest.mark.parametrize("n", [0, -1, LAYERS + 1])
def test_bad_number_of_blocks(sizes, n):
    message = f"from 1 to the number of encoder blocks, 3. Received: top_n={n}"
    with pytest.raises(ValueError, match=message):
        make_model(sizes, Tuning("top_n", n))


def test_adapters_where_there_are_none(sizes):
    with pytest.raises(ValueError, match="needs a backbone with adapters"):
        make_model(sizes, "adapters")


@pytest.mark.parametrize("tuning", ["full", "layer_norm", "head", Tuning("top_n", 1)])
def test_baselines_have_no_adapters(sizes, tuning):
    with pytest.raises(ValueError, match="is a baseline without adapters"):
        make_model(sizes, tuning, AdapterConfig(4))


def test_a_plain_keras_hub_model_is_unaffected(plain):
    assert len(plain.trainable_variables) == len(plain.weights)
    assert type(plain) is keras_hub.models.BertBackbone
