"""Bases of Google's TF1 code and of Hugging Face."""

import json

import keras_hub
import numpy as np
import pytest
import safetensors.numpy

from adapters_tf.convert import convert_google_bert, convert_huggingface
from adapters_tf.convert.torch_files import write_torch_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.backbones import (
    BertAdapterBackbone,
    ExactGeluBertAdapterBackbone,
)
from adapters_tf.models.presets import load_backbone, load_preprocessor


def outputs(path, inputs):
    return {k: np.asarray(v) for k, v in load_backbone(str(path))(inputs).items()}


def check(result, sequence, pooled, inputs):
    mask = inputs["padding_mask"][:, :, None]
    sequence_output = result["sequence_output"] * mask
    np.testing.assert_allclose(sequence_output, sequence * mask, rtol=0, atol=2e-5)
    np.testing.assert_allclose(result["pooled_output"], pooled, rtol=0, atol=2e-5)
    assert np.abs(pooled).max() > 0.3


# === Hugging Face ===


def test_outputs_are_those_of_transformers(base, inputs, expected):
    check(
        outputs(base, inputs),
        expected["base_sequence"],
        expected["base_pooled"],
        inputs,
    )
    backbone = load_backbone(base)
    assert type(backbone) is ExactGeluBertAdapterBackbone
    # keras-hub takes 0.1, whatever the configuration says.
    assert backbone.dropout == 0.2


def test_texts_become_the_tokens_of_the_vocabulary(base, fixtures):
    preprocessor = load_preprocessor(base, 8)
    ids = np.asarray(preprocessor(np.array(["A GOOD plots?"]))["token_ids"])[0]
    tokens = (fixtures / "base" / "vocab.txt").read_text().split("\n")
    assert [tokens[i] for i in ids] == [
        *("[CLS]", "a", "good", "plot", "##s", "?", "[SEP]", "[PAD]")
    ]


@pytest.mark.parametrize("name", ["gelu_new", "gelu_pytorch_tanh", "gelu_fast"])
def test_the_tanh_form_is_keras_hubs_own_class(
    name, edited, tmp_path, inputs, numpy_bert
):
    source = edited("base", "config.json", lambda c: c.update(hidden_act=name))
    lines = []
    convert_huggingface(source, tmp_path / "p", lines.append)
    assert lines == [f"hidden_act='{name}': the tanh form of GELU"]
    assert type(load_backbone(str(tmp_path / "p"))) is BertAdapterBackbone
    w = _google_variables(source, numpy_bert)
    arguments = (inputs["token_ids"], inputs["segment_ids"], inputs["padding_mask"])
    check(
        outputs(tmp_path / "p", inputs),
        *numpy_bert.bert(w, numpy_bert.SIZES, *arguments),
        inputs,
    )


def _google_variables(source, numpy_bert):
    """The fixture's tensors by Google's names."""
    tensors = safetensors.numpy.load_file(source / "model.safetensors")
    variables = {}
    for name, shape in numpy_bert.shapes(numpy_bert.SIZES).items():
        theirs = name.replace("/", ".").replace("layer_", "layer.")
        theirs = theirs.replace("kernel", "weight").replace("gamma", "weight")
        theirs = theirs.replace("beta", "bias")
        if theirs.endswith("embeddings"):
            theirs += ".weight"
        value = tensors[theirs]
        variables[name] = value.T if name.endswith("kernel") else value
        assert variables[name].shape == shape
    return variables


def test_every_form_that_such_a_directory_has(base, edited, tmp_path):
    # torch's file, no prefix, gamma and beta, heads and buffers beside the base, the
    # vocabulary in tokenizer.json.
    source = edited("base", "config.json", lambda c: c.pop("type_vocab_size"))
    tensors = safetensors.numpy.load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    renamed = {
        name.removeprefix("bert.")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    }
    renamed["cls.predictions.bias"] = np.zeros(24, "float32")
    renamed["classifier.weight"] = np.zeros((2, 16), "float32")
    renamed["embeddings.position_ids"] = np.zeros((1, 12), "float32")
    write_torch_tensors(renamed, source / "pytorch_model.bin")
    words = (source / "vocab.txt").read_text().removesuffix("\n").split("\n")
    model = {"type": "WordPiece", "vocab": {w: i for i, w in enumerate(words)}}
    (source / "tokenizer.json").write_text(json.dumps({"model": model}))
    (source / "vocab.txt").unlink()
    (source / "tokenizer_config.json").unlink()
    lines = []
    convert_huggingface(source, tmp_path / "p", lines.append)
    assert lines[-1] == (
        "Not part of a base, left out: classifier.weight, cls.predictions.bias"
    )
    assert (
        load_backbone(str(tmp_path / "p")).fingerprint
        == load_backbone(base).fingerprint
    )
    tokenizer = load_preprocessor(str(tmp_path / "p"), 8).tokenizer
    assert tokenizer.get_vocabulary() == words and tokenizer.lowercase


@pytest.mark.parametrize("strip", [None, True, False])
def test_accents_are_stripped_unless_the_checkpoint_says_not_to(
    strip, edited, tmp_path
):
    source = edited(
        "base",
        "tokenizer_config.json",
        lambda c: c.update({} if strip is None else {"strip_accents": strip}),
    )
    convert_huggingface(source, tmp_path / "p")
    packed = load_preprocessor(str(tmp_path / "p"), 8)(np.array(["góod"]))
    words = (source / "vocab.txt").read_text().split("\n")
    expected = "[UNK]" if strip is False else "good"
    assert words[np.asarray(packed["token_ids"])[0][1]] == expected


def test_another_dropout_of_the_attention_is_said(edited, tmp_path):
    source = edited(
        "base", "config.json", lambda c: c.update(attention_probs_dropout_prob=0.0)
    )
    lines = []
    convert_huggingface(source, tmp_path / "p", lines.append)
    assert "no other one for attention_probs_dropout_prob=0.0" in lines[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, "the exact GELU or its tanh form. Received: .*'relu'"),
        ({"model_type": "roberta"}, "model_type must be 'bert'.*model_type='roberta'"),
        (
            {"layer_norm_eps": 1e-5},
            "layer_norm_eps must be 1e-12, .*layer_norm_eps=1e-0",
        ),
        ({"position_embedding_type": "relative_key"}, "must be 'absolute'"),
        ({"is_decoder": True}, "is_decoder must be False"),
        ({"hidden_size": "16"}, "field hidden_size, a positive whole number.*'16'"),
        ({"type_vocab_size": 1}, "second text of a pair is segment 1.*ocab_size=1"),
        ({"type_vocab_size": "x"}, "field type_vocab_size, a positive whole number"),
        ({"hidden_dropout_prob": None}, "from 0 to below 1. Rec.*dropout_prob=None"),
        ({"hidden_dropout_prob": "x"}, "hidden_dropout_prob must be a number.*'x'"),
        ({"attention_probs_dropout_prob": 1}, "to below 1. Received: attention_probs"),
        ({"num_attention_heads": 3}, "a multiple of num_attention_heads. Received: 16"),
        ({"hidden_size": 32}, r"must have the shape \(\d+, 32\) by the base's config"),
        ({"num_hidden_layers": 1}, "must be 2, .*Received: num_hidden_layers=1$"),
        ({"num_hidden_layers": 10**9}, "must be 2, .*Received: num_hidden_layers=10+$"),
        # Before a model of that size takes the memory of this machine.
        (
            {"intermediate_size": 10**9},
            r"layer.0.intermediate.dense.weight must have the shape \(10+, 16\) .*"
            r"Received: \(32, 16\)",
        ),
        ({"vocab_size": 10**9}, r"word_embeddings.weight must .*eived: \(24, 16\)"),
        ({"max_position_embeddings": 10**9}, r"position_embed.*Received: \(12, 16\)"),
        ({"type_vocab_size": 10**9}, r"token_type_embed.*Received: \(2, 16\)"),
    ],
)
def test_directories_that_are_refused(change, message, edited, tmp_path):
    source = edited("base", "config.json", lambda c: c.update(change))
    with pytest.raises(UserError, match=message):
        convert_huggingface(source, tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda w: w.remove("[SEP]"), r"23 tokens without \[SEP\]"),
        (lambda w: w.insert(6, "good"), "25 tokens with a token twice"),
        (lambda w: w.append("more"), "at most the 24 tokens .*Received: 25 tokens$"),
    ],
)
def test_vocabularies_that_are_refused(edit, message, edited, tmp_path):
    source = edited("base", "config.json", lambda c: None)
    words = (source / "vocab.txt").read_text().split("\n")[:-1]
    edit(words)
    (source / "vocab.txt").write_text("\n".join(words) + "\n")
    with pytest.raises(UserError, match=message):
        convert_huggingface(source, tmp_path / "p")
    (source / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="a token in each line, could not be read"):
        convert_huggingface(source, tmp_path / "p")


def test_a_base_without_a_pooler_is_refused(edited, tmp_path):
    source = edited("base", "config.json", lambda c: None)
    tensors = safetensors.numpy.load_file(source / "model.safetensors")
    tensors = {k: v for k, v in tensors.items() if "pooler" not in k}
    safetensors.numpy.save_file(tensors, source / "model.safetensors")
    with pytest.raises(
        UserError, match="with its pooler. Missing: pooler.dense.bias, p"
    ):
        convert_huggingface(source, tmp_path / "p")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bert.", "", r"each tensor once, .*Received: \S+ and \S+$"),
        ("LayerNorm.weight", "LayerNorm.gamma", r"once, .*Norm.\w+ and \S+Norm.\w+$"),
    ],
)
def test_tensors_under_two_names_are_refused(old, new, message, edited, tmp_path):
    source = edited("base", "config.json", lambda c: None)
    tensors = safetensors.numpy.load_file(source / "model.safetensors")
    tensors |= {name.replace(old, new): value for name, value in tensors.items()}
    safetensors.numpy.save_file(tensors, source / "model.safetensors")
    with pytest.raises(UserError, match=message):
        convert_huggingface(source, tmp_path / "p")


@pytest.mark.parametrize("old", ["embeddings.word", "encoder"])
def test_tensors_that_say_the_sizes_and_are_missing(old, edited, tmp_path):
    source = edited("base", "config.json", lambda c: None)
    tensors = safetensors.numpy.load_file(source / "model.safetensors")
    tensors = {name.replace(old, "x"): value for name, value in tensors.items()}
    safetensors.numpy.save_file(tensors, source / "model.safetensors")
    message = f"tensor {old}.* must have the shape .* Received: none$"
    with pytest.raises(UserError, match=message):
        convert_huggingface(source, tmp_path / "p")


def test_lower_casing_can_be_said(fixtures, tmp_path):
    convert_huggingface(fixtures / "base", tmp_path / "p", lowercase=False)
    assert not load_preprocessor(str(tmp_path / "p"), 8).tokenizer.lowercase


def test_a_configuration_of_many_brackets_is_damaged(edited, tmp_path):
    source = edited("base", "config.json", lambda c: None)
    (source / "config.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match="config.json' is damaged: .*recursion"):
        convert_huggingface(source, tmp_path / "p")


def test_an_existing_directory_is_not_touched(fixtures, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UserError, match="must be new or empty"):
        convert_huggingface(fixtures / "base", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


# === Google ===

CONFIG = {
    "vocab_size": 24,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}


@pytest.fixture
def google(fixtures, write_checkpoint, tmp_path, numpy_bert):
    """Function: a folder as in Google's archives, and the variables in it."""

    def make(extra=(), config=(), leave_out=()):
        folder = tmp_path / "google"
        variables = numpy_bert.random_variables(CONFIG)
        pretraining = {
            "cls/predictions/output_bias": np.zeros(24, "float32"),
            "cls/seq_relationship/output_weights": np.zeros((2, 16), "float32"),
            "global_step": np.array(1000000),
            "bert/pooler/dense/kernel/adam_m": np.zeros((16, 16), "float32"),
        }
        stored = variables | pretraining | dict(extra)
        stored = {k: v for k, v in stored.items() if k not in leave_out}
        write_checkpoint(folder / "bert_model.ckpt", stored)
        (folder / "bert_config.json").write_text(json.dumps(CONFIG | dict(config)))
        text = (fixtures / "base" / "vocab.txt").read_text()
        # As bert-base-uncased: capitals that lower-casing does not change.
        text = text.replace("who\n", "ℝ\n").replace("wrote\n", "##ℝ\n")
        (folder / "vocab.txt").write_text(text)
        return folder, variables

    return make


def test_a_checkpoint_of_google(google, tmp_path, inputs, numpy_bert):
    folder, variables = google()
    lines = []
    convert_google_bert(folder, tmp_path / "p", say=lines.append)
    assert lines == [
        "Texts are lower-cased, as the vocabulary is.",
        "hidden_act='gelu': the tanh form of GELU, as in Google's code",
    ]
    backbone = load_backbone(str(tmp_path / "p"))
    assert type(backbone) is BertAdapterBackbone
    assert type(backbone.to_plain()) is keras_hub.models.BertBackbone
    arguments = (inputs["token_ids"], inputs["segment_ids"], inputs["padding_mask"])
    check(
        outputs(tmp_path / "p", inputs),
        *numpy_bert.bert(variables, CONFIG, *arguments),
        inputs,
    )
    assert load_preprocessor(str(tmp_path / "p"), 8).tokenizer.lowercase


def test_case_is_kept_where_the_vocabulary_has_capitals(google, tmp_path):
    folder, _ = google()
    text = (folder / "vocab.txt").read_text().replace("film", "Film")
    (folder / "vocab.txt").write_text(text)
    lines = []
    convert_google_bert(folder, tmp_path / "p", say=lines.append)
    assert lines[0] == "Texts keep their case: the vocabulary has capital letters."
    assert not load_preprocessor(str(tmp_path / "p"), 8).tokenizer.lowercase
    convert_google_bert(folder, tmp_path / "q", lowercase=True)
    assert load_preprocessor(str(tmp_path / "q"), 8).tokenizer.lowercase


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": {"hidden_act": "relu"}}, "Received: hidden_act='relu'"),
        (
            {"config": {"intermediate_size": 10**9}},
            r"layer_0/intermediate/dense/kernel must have the shape \(16, 10+\) .*"
            r"Received: \(16, 32\)",
        ),
        ({"config": {"num_hidden_layers": 10**9}}, "must be 2, the number of blocks"),
        ({"config": {"type_vocab_size": 1}}, "second text of a pair is segment 1"),
        (
            {"leave_out": ["bert/encoder/layer_1/output/dense/bias"]},
            "Missing: bert/encoder/layer_1/output/dense/bias; not known: none",
        ),
        (
            {"extra": {"bert/extra": np.zeros(1, "float32")}},
            "Missing: none; not known: bert/extra",
        ),
        (
            {"extra": {"bert/pooler/dense/bias": np.zeros(8, "float32")}},
            r"bert/pooler/dense/bias must have the shape \(16,\).*Received: \(8,\)",
        ),
        (
            {"extra": {"bert/pooler/dense/bias": np.zeros(16, "float64")}},
            "must be finite float32 numbers. Received: bert/pooler/dense/bias",
        ),
        (
            {"extra": {"bert/pooler/dense/bias": np.full(16, np.nan, "float32")}},
            "must be finite float32 numbers. Received: bert/pooler/dense/bias",
        ),
    ],
)
def test_checkpoints_that_are_refused(arguments, message, google, tmp_path):
    folder, _ = google(**arguments)
    with pytest.raises(UserError, match=message):
        convert_google_bert(folder, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_missing_and_damaged_checkpoints(google, tmp_path):
    folder, _ = google()
    with pytest.raises(
        UserError, match="what its files begin with.* holds bert_model.c"
    ):
        convert_google_bert(folder, tmp_path / "p", checkpoint="model.ckpt")
    index = folder / "bert_model.ckpt.index"
    index.write_bytes(index.read_bytes()[:-10])
    with pytest.raises(UserError, match="bert_model.ckpt' is damaged"):
        convert_google_bert(folder, tmp_path / "p")
    (folder / "bert_config.json").unlink()
    with pytest.raises(UserError, match="bert_config.json' could not be read"):
        convert_google_bert(folder, tmp_path / "p")
