"""`build_model` and `load_model`."""

import dataclasses

import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.build import build_model, load_model
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tasks.question_answering import AdapterQuestionAnswerer
from adapters_tf.tasks.regression import AdapterTextRegressor

TWO = {"num_classes": 2}


@pytest.mark.parametrize(
    "kind, head, cls",
    [
        ("classification", {"num_classes": 5}, AdapterTextClassifier),
        ("regression", {"head_input": "mean", "dropout": 0.0}, AdapterTextRegressor),
        ("question_answering", None, AdapterQuestionAnswerer),
    ],
)
def test_kinds(saved_preset, tmp_path, inputs, randomize, kind, head, cls):
    model = build_model(kind, saved_preset, seq_length=12, head=head)
    assert type(model) is cls
    assert model.backbone.adapter == AdapterConfig()  # the paper's
    assert model.preprocessor.sequence_length == 12
    assert {**model.head_config(), **(head or {})} == model.head_config()
    randomize(model.get_layer("logits"))
    save_adapter(
        model.get_adapter(preset=saved_preset, seq_length=12), tmp_path / "adapter"
    )
    read = load_model(tmp_path / "adapter")
    assert type(read) is cls
    assert read.preprocessor.sequence_length == 12
    np.testing.assert_array_equal(read(inputs()), model(inputs()))


@pytest.mark.parametrize("tuning", ["full", "head", Tuning("top_n", 2)])
def test_baselines_have_no_adapters(saved_preset, tmp_path, inputs, tuning):
    model = build_model(
        "classification", saved_preset, tuning=tuning, seq_length=12, head=TWO
    )
    assert model.backbone.adapter is None
    save_adapter(
        model.get_adapter(preset=saved_preset, seq_length=12), tmp_path / "adapter"
    )
    read = load_model(tmp_path / "adapter")
    assert read.tuning == Tuning.of(tuning)
    np.testing.assert_array_equal(read(inputs()), model(inputs()))


def test_mixed_precision(saved_preset, tmp_path, inputs):
    exact, mixed = (
        build_model(
            "classification",
            saved_preset,
            AdapterConfig(4),
            seq_length=12,
            head=TWO,
            dtype=dtype,
        )
        for dtype in ("float32", "mixed_bfloat16")
    )
    assert {v.dtype for v in mixed.weights} == {"float32"}
    assert mixed.backbone.encoder_blocks[0].compute_dtype == "bfloat16"
    assert (
        mixed.backbone.encoder_blocks[0].attention_adapter.compute_dtype == "bfloat16"
    )
    assert mixed.backbone.fingerprint == exact.backbone.fingerprint
    adapter = mixed.get_adapter(preset=saved_preset, seq_length=12)
    save_adapter(adapter, tmp_path / "adapter")
    for dtype in ("float32", "mixed_bfloat16"):
        read = load_model(tmp_path / "adapter", dtype=dtype)
        assert read.backbone.encoder_blocks[0].compute_dtype == dtype.split("_")[-1]
        np.testing.assert_allclose(read(inputs()), mixed(inputs()), atol=0.05)


def test_half_precision_weights_give_a_float32_file(saved_preset):
    model = build_model(
        "classification",
        saved_preset,
        AdapterConfig(4),
        seq_length=12,
        head=TWO,
        dtype="bfloat16",
    )
    tensors = model.get_adapter().tensors
    assert {value.dtype for value in tensors.values()} == {np.dtype("float32")}


def test_base_from_elsewhere(saved_preset, hugging_face_directory, tmp_path, inputs):
    model = build_model(
        "classification", saved_preset, AdapterConfig(4), seq_length=12, head=TWO
    )
    adapter = model.get_adapter(preset="/gone", seq_length=12)
    save_adapter(adapter, tmp_path / "adapter")
    read = load_model(tmp_path / "adapter", preset=hugging_face_directory())
    np.testing.assert_array_equal(read(inputs()), model(inputs()))
    with pytest.raises(UserError, match="'/gone' could not be loaded"):
        load_model(tmp_path / "adapter")
    save_adapter(
        dataclasses.replace(adapter, preset=None), tmp_path / "adapter", overwrite=True
    )
    with pytest.raises(AdapterFileError, match="does not say where its base"):
        load_model(tmp_path / "adapter")


def test_base_with_adapters_of_its_own(saved_preset, tmp_path, inputs, randomize):
    # As in `model.save_to_preset` of a trained task: the next one starts from it.
    first = build_model(
        "classification", saved_preset, AdapterConfig(4), seq_length=12, head=TWO
    )
    for block in first.backbone.encoder_blocks:
        randomize(block.attention_adapter)
    preset = str(tmp_path / "preset")
    first.save_to_preset(preset)
    second = build_model("regression", preset, seq_length=12)
    assert second.backbone.adapter == AdapterConfig(4)  # not the paper's
    np.testing.assert_array_equal(
        second.backbone(inputs())["sequence_output"],
        first.backbone(inputs())["sequence_output"],
    )
    assert second.predict(["good", "bad film"], verbose=0).shape == (2,)
    # What it learns holds for the base itself, too.
    save_adapter(second.get_adapter(preset=preset, seq_length=12), tmp_path / "task")
    for base in (None, saved_preset):
        read = load_model(tmp_path / "task", preset=base)
        np.testing.assert_array_equal(read(inputs()), second(inputs()))


def test_wrong_base(saved_preset, sizes, tokenizer, tmp_path):
    import keras_hub

    model = build_model(
        "classification", saved_preset, AdapterConfig(4), seq_length=12, head=TWO
    )
    save_adapter(
        model.get_adapter(preset=saved_preset, seq_length=12), tmp_path / "adapter"
    )
    other = str(tmp_path / "other")
    keras_hub.models.BertBackbone(**sizes).save_to_preset(other)
    tokenizer.save_to_preset(other)
    with pytest.raises(AdapterFileError, match="works only on the base it was trained"):
        load_model(tmp_path / "adapter", preset=other)


def test_unknown_kind(saved_preset):
    with pytest.raises(
        UserError, match="one of classification, multi_label, .*'tagging'"
    ):
        build_model("tagging", saved_preset)


def test_more_tokens_than_positions(saved_preset):
    with pytest.raises(UserError, match="at most 12, .* Received: seq_length=13"):
        build_model("classification", saved_preset, seq_length=13, head=TWO)


@pytest.mark.parametrize("length", [0, -1, 2, 12.0, True])
def test_seq_length_that_is_no_number_of_tokens(saved_preset, length):
    rule = f"seq_length must be a whole number of 3 or more. .*seq_length={length}"
    with pytest.raises(UserError, match=rule):
        build_model("classification", saved_preset, seq_length=length, head=TWO)


@pytest.mark.parametrize("columns", ["text", [1], ["a", None]])
def test_text_columns_that_are_no_names(saved_preset, columns):
    with pytest.raises(UserError, match="text_columns must be a list of strings"):
        build_model(
            "classification",
            saved_preset,
            seq_length=12,
            head={**TWO, "text_columns": columns},
        )


def test_head_of_another_kind(saved_preset, tmp_path):
    model = build_model("classification", saved_preset, seq_length=12, head=TWO)
    adapter = dataclasses.replace(model.get_adapter(), kind="regression", task={})
    save_adapter(adapter, tmp_path / "adapter")
    with pytest.raises(AdapterFileError, match="fields. Received: num_classes in '"):
        load_model(tmp_path / "adapter", saved_preset)
