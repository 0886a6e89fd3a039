"""A model in two parts against the whole one."""

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.layers.dropout import dropout_scope
from adapters_tf.models.fingerprint import prefix_fingerprint
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer

TOP = AdapterConfig(4, layers=(1,))


@pytest.fixture
def x(inputs):
    return {name: tf.constant(value) for name, value in inputs(6).items()}


@pytest.fixture
def make(adapted):
    def make(head, adapter=TOP, tuning="adapters", **kwargs):
        backbone = adapted(adapter, **kwargs)
        if head == "questions":
            return AdapterQuestionAnswerer(backbone, tuning=tuning)
        return AdapterTextClassifier(backbone, 3, head_input=head, tuning=tuning)

    return make


@pytest.mark.parametrize("head", ["cls", "pooled", "mean", "questions"])
@pytest.mark.parametrize(
    ("adapter", "tuning", "blocks"),
    [(TOP, "adapters", 1), (None, Tuning("top_n", 1), 1), (None, "head", 2)],
)
def test_both_parts_are_the_whole_model(make, x, head, adapter, tuning, blocks):
    model = make(head, adapter, tuning)
    paths = [v.path for v in model.weights]
    prefix = FrozenPrefix(model)
    assert (prefix.num_blocks, prefix.hidden_dim, prefix.dtype) == (
        blocks,
        16,
        "float32",
    )
    assert [v.path for v in model.weights] == paths  # nothing was added to it
    states = prefix.lower(x)
    np.testing.assert_array_equal(prefix.lower(x, training=True), states)
    parts = {"hidden_states": states, "padding_mask": x["padding_mask"]}
    np.testing.assert_array_equal(prefix.upper(parts), model(x))
    outputs = []
    for step in (5, 5, 6):
        with dropout_scope(1, step):
            whole = model(x, training=True)
        with dropout_scope(1, step):
            cut = prefix.upper(parts, training=True)
        # Dropout, as above the cut alone.
        np.testing.assert_array_equal(cut, whole)
        outputs.append(whole)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    if head != "questions" or tuning != "head":  # whose head has no dropout
        assert (np.abs(outputs[0] - outputs[2]) > 1e-4).any()


def test_what_is_padding_does_not_matter(make, x):
    model = make("mean")
    prefix = FrozenPrefix(model)
    mask = x["padding_mask"]
    states = prefix.lower(x)
    zeros = states * tf.cast(mask, states.dtype)[:, :, None]
    assert (np.abs(zeros - states) > 0.1).any()
    outputs = prefix.upper({"hidden_states": zeros, "padding_mask": mask})
    np.testing.assert_array_equal(outputs, model(x))


def test_the_parts_are_the_model_s_own_layers(make, x):
    model = make("cls")
    prefix = FrozenPrefix(model)
    parts = {"hidden_states": prefix.lower(x), "padding_mask": x["padding_mask"]}
    before = prefix.upper(parts)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.1)
    np.testing.assert_array_equal(prefix.upper(parts), model(x))
    assert (np.abs(before - model(x)) > 1e-3).all()


def test_bfloat16(make, x):
    model = make("cls", dtype="mixed_bfloat16")
    prefix = FrozenPrefix(model)
    assert prefix.dtype == "bfloat16"
    parts = {"hidden_states": prefix.lower(x), "padding_mask": x["padding_mask"]}
    assert parts["hidden_states"].dtype == tf.bfloat16
    np.testing.assert_array_equal(prefix.upper(parts), model(x))


def test_a_lower_cut(make, x):
    model = make("cls", None, "head")
    prefix = FrozenPrefix(model, 1)
    parts = {"hidden_states": prefix.lower(x), "padding_mask": x["padding_mask"]}
    np.testing.assert_array_equal(prefix.upper(parts), model(x))


@pytest.mark.parametrize("num_blocks", [0, 2])
def test_no_cut_above_what_is_trained(make, num_blocks):
    message = f"from 1 .* which are 1. Received: num_blocks={num_blocks}"
    with pytest.raises(ValueError, match=message):
        FrozenPrefix(make("cls"), num_blocks)


def test_fingerprint_is_of_what_lies_below(make):
    model = make("cls")
    backbone = model.backbone
    first = prefix_fingerprint(backbone, 1)
    assert first == prefix_fingerprint(make("mean").backbone, 1)
    assert first != prefix_fingerprint(backbone, 2)
    for block in backbone.encoder_blocks[1:]:
        for variable in block.weights:
            variable.assign(variable + 1)
    backbone.pooled_dense.bias.assign(backbone.pooled_dense.bias + 1)
    assert prefix_fingerprint(backbone, 1) == first
    norm = backbone.embeddings_layer_norm.gamma
    norm.assign(norm + 1e-3)
    assert prefix_fingerprint(backbone, 1) != first
