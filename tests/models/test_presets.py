"""Loading bases and preprocessors, and what cannot be loaded."""

import json
import shutil
from pathlib import Path

import keras_hub
import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import UserError
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.presets import (
    load_backbone,
    load_preprocessor,
    preprocess_texts,
)


def tokens(preprocessor, text):
    packed = preprocess_texts(preprocessor, np.array([text]))
    ids = np.asarray(packed["token_ids"])[0][np.asarray(packed["padding_mask"])[0] > 0]
    return [preprocessor.tokenizer.id_to_token(int(i)) for i in ids]


def test_backbone_of_each_format(plain, saved_preset, hugging_face_directory, inputs):
    for path in (saved_preset, hugging_face_directory()):
        adapter = AdapterConfig(4, zero_init=True)
        backbone = load_backbone(path, adapter)
        assert type(backbone) is BertAdapterBackbone
        assert backbone.adapter == adapter
        outputs, expected = backbone(inputs()), plain(inputs())
        for name, value in outputs.items():
            np.testing.assert_array_equal(value, expected[name])
        assert load_backbone(path).adapter is None


def test_the_fingerprint_does_not_depend_on_the_format(
    adapted, saved_preset, hugging_face_directory
):
    # Only on the weights; so the adapter fits the base however it is loaded.
    expected = adapted().fingerprint
    for path in (saved_preset, hugging_face_directory()):
        assert load_backbone(path).fingerprint == expected
        assert load_backbone(path, dtype="mixed_bfloat16").fingerprint == expected


@pytest.fixture
def adapted_preset(adapted, tokenizer, randomize, tmp_path):
    """A backbone with adapters, random weights in them, and the preset of it."""
    backbone = adapted()
    randomize(backbone, seed=5)
    path = str(tmp_path / "adapted")
    backbone.save_to_preset(path)
    tokenizer.save_to_preset(path)
    return backbone, path


def test_backbone_that_was_saved_with_adapters(adapted_preset, inputs):
    backbone, path = adapted_preset
    for adapter in (None, backbone.adapter):
        read = load_backbone(path, adapter)
        assert read.adapter == backbone.adapter
        assert read.fingerprint == backbone.fingerprint
        np.testing.assert_array_equal(
            read(inputs())["sequence_output"], backbone(inputs())["sequence_output"]
        )
    other = AdapterConfig(8)
    assert load_backbone(path, default_adapter=other).adapter == backbone.adapter
    with pytest.raises(UserError, match="holds adapters of its own, .*_dim=8"):
        load_backbone(path, other)


def test_preprocessor_of_a_backbone_that_was_saved_with_adapters(
    adapted_preset, saved_preset
):
    _, path = adapted_preset
    text = "The GOOD café zzz"
    expected = load_preprocessor(saved_preset, 8)
    read = load_preprocessor(path, 8)
    assert type(read) is type(expected) and read.sequence_length == 8
    assert type(read.tokenizer) is type(expected.tokenizer)
    assert tokens(read, text) == tokens(expected, text)
    assert "cafe" in tokens(read, text)  # accents are stripped here too
    # What it was saved with stays, but for the length that is asked for.
    read.truncate = "waterfall"
    read.save_to_preset(path)
    again = load_preprocessor(path, 10)
    assert (again.sequence_length, again.truncate) == (10, "waterfall")


def test_broken_preset_of_a_backbone_that_was_saved_with_adapters(adapted_preset):
    _, path = adapted_preset
    (Path(path) / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="adapted' could not be loaded: "):
        load_preprocessor(path)


def test_backbone_that_was_saved_after_full_fine_tuning(
    adapted, randomize, inputs, tmp_path
):
    backbone = adapted(None)
    randomize(backbone, seed=5)
    backbone.save_to_preset(str(tmp_path / "p"))
    # Another base than the one it was trained from, and without adapters.
    for adapter in (None, AdapterConfig(4, zero_init=True)):
        read = load_backbone(str(tmp_path / "p"), adapter)
        assert read.adapter == adapter
        assert read.fingerprint != backbone.fingerprint
        np.testing.assert_array_equal(
            read(inputs())["sequence_output"], backbone(inputs())["sequence_output"]
        )


def test_preprocessor_of_each_format(saved_preset, hugging_face_directory):
    for path in (saved_preset, hugging_face_directory()):
        preprocessor = load_preprocessor(path, 8)
        assert preprocessor.sequence_length == 8
        assert tokens(preprocessor, "The GOOD film zzz") == [
            "[CLS]",
            "the",
            "good",
            "film",
            "[UNK]",
            "[SEP]",
        ]
        longest = tokens(preprocessor, "good " * 20)
        assert longest == ["[CLS]", *["good"] * 6, "[SEP]"]


def test_pair_without_labels(saved_preset):
    pair = (np.array(["good", "bad"]), np.array(["the film", "a plot"]))
    packed = preprocess_texts(load_preprocessor(saved_preset, 8), pair)
    np.testing.assert_array_equal(
        packed["segment_ids"][:, :6], [[0, 0, 0, 1, 1, 1]] * 2
    )
    np.testing.assert_array_equal(np.sum(packed["padding_mask"], axis=1), [6, 6])


# Accents: an uncased vocabulary has none.


@pytest.mark.parametrize("text", ["café naïve", "CAFÉ Naïve", "cafe\u0301 nai\u0308ve"])
def test_accents_are_stripped_where_uncased(hugging_face_directory, saved_preset, text):
    for path in (hugging_face_directory(), saved_preset):
        expected = ["[CLS]", "cafe", "naive", "[SEP]"]
        assert tokens(load_preprocessor(path, 12), text) == expected
    # keras-hub's own loader would not do it.
    own = keras_hub.models.TextClassifierPreprocessor.from_preset(saved_preset)
    assert "[UNK]" in tokens(own, text)


@pytest.mark.parametrize("value", [True, None])
def test_strip_accents_true_or_null(hugging_face_directory, value):
    preprocessor = load_preprocessor(hugging_face_directory(strip_accents=value), 12)
    assert tokens(preprocessor, "café") == ["[CLS]", "cafe", "[SEP]"]


def test_strip_accents_false_is_respected(hugging_face_directory):
    preprocessor = load_preprocessor(hugging_face_directory(strip_accents=False), 12)
    assert tokens(preprocessor, "café") == ["[CLS]", "[UNK]", "[SEP]"]
    assert tokens(preprocessor, "CAFE") == ["[CLS]", "cafe", "[SEP]"]


def test_cased_vocabulary_keeps_accents_and_case(hugging_face_directory):
    preprocessor = load_preprocessor(hugging_face_directory(do_lower_case=False), 12)
    assert tokens(preprocessor, "café") == ["[CLS]", "[UNK]", "[SEP]"]
    assert tokens(preprocessor, "Good good") == ["[CLS]", "[UNK]", "good", "[SEP]"]


# What cannot be loaded.


def test_missing_directory(tmp_path):
    with pytest.raises(
        UserError, match="(?s)nowhere' could not be loaded: .*A preset is"
    ):
        load_backbone(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="nowhere' could not be loaded: "):
        load_preprocessor(str(tmp_path / "nowhere"))


def test_unknown_name():
    with pytest.raises(UserError, match="'no_such_preset' could not be loaded: "):
        load_backbone("no_such_preset")


@pytest.mark.parametrize("names", [[], ["model.safetensors", "notes.txt"]])
def test_directory_without_config(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("x")
    with pytest.raises(UserError) as info:
        load_backbone(str(tmp_path))
    assert "must hold a config.json" in str(info.value)
    assert str(names) in str(info.value)


def test_corrupt_config(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="could not be loaded: "):
        load_backbone(str(tmp_path))


def test_unknown_hugging_face_architecture(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "perceiver"}))
    with pytest.raises(UserError, match="no converter .* `'perceiver'`"):
        load_backbone(str(tmp_path))


def test_truncated_weights(hugging_face_directory):
    path = hugging_face_directory()
    tensors = Path(path) / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    with pytest.raises(UserError, match="could not be loaded: "):
        load_backbone(path)


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
def test_incomplete_directory(hugging_face_directory, name):
    path = hugging_face_directory()
    (Path(path) / name).unlink()
    load = load_backbone if name == "model.safetensors" else load_preprocessor
    with pytest.raises(UserError, match="could not be loaded: "):
        load(path)


def test_weights_of_another_shape(hugging_face_directory):
    path = Path(hugging_face_directory()) / "config.json"
    config = json.loads(path.read_text()) | {"intermediate_size": 64}
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="could not be loaded: "):
        load_backbone(str(path.parent))


@pytest.mark.parametrize("activation", ["relu", "quick_gelu"])
def test_an_activation_that_would_be_taken_for_gelu(hugging_face_directory, activation):
    path = hugging_face_directory()
    config = Path(path) / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"gelu"', f'"{activation}"'))
    with pytest.raises(UserError, match=f"form of GELU.*: hidden_act='{activation}'"):
        load_backbone(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer_norm_eps", 1e-5),
        ("position_embedding_type", "relative_key"),
        ("position_embedding_type", None),
    ],
)
def test_what_keras_hub_has_built_in(hugging_face_directory, name, value):
    path = Path(hugging_face_directory()) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    message = f"{name} must be .*hub's bert has built in. Received: {name}={value!r} in"
    with pytest.raises(UserError, match=message):
        load_backbone(str(path.parent))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "roberta"},
            "must be 1e-05, .* Received: layer_norm_eps=1e-12, transformers' default,",
        ),
        ({"model_type": "roberta", "layer_norm_eps": 1e-12}, "must be 1e-05, .*=1e-12"),
        (
            {"model_type": "xlm-roberta", "layer_norm_eps": 1e-12},
            "keras-hub's xlm-roberta has built in. Received: layer_norm_eps=1e-12 in",
        ),
        ({"model_type": "albert", "layer_norm_eps": 1e-5}, "must be 1e-12, .*=1e-05"),
        (
            {
                "model_type": "roberta",
                "layer_norm_eps": 1e-5,
                "position_embedding_type": "relative_key_query",
            },
            "position_embedding_type must be 'absolute'",
        ),
        # Right so far: what is missed next are the sizes.
        ({"model_type": "roberta", "layer_norm_eps": 1e-5}, "loaded: 'vocab_size'"),
        ({"model_type": "albert"}, "loaded: 'vocab_size'"),
        # Which transformers does not read there either.
        ({"model_type": "distilbert", "layer_norm_eps": 1}, "loaded: 'vocab_size'"),
    ],
)
def test_what_keras_hub_has_built_in_elsewhere(config, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        load_backbone(str(tmp_path))


def test_damaged_tokenizer_config(saved_preset, tmp_path):
    path = shutil.copytree(saved_preset, tmp_path / "p")
    for text in ("{", "[]", "[" * 200_000):
        (path / "tokenizer_config.json").write_text(text)
        with pytest.raises(UserError, match="could not be loaded: "):
            load_preprocessor(str(path))


def three_texts(preprocessor, *texts):
    """The packed tokens as one text, and their segments."""
    packed = preprocess_texts(preprocessor, tuple(np.array([t]) for t in texts))
    ids = np.asarray(packed["token_ids"])[0]
    words = [preprocessor.tokenizer.id_to_token(int(i)) for i in ids]
    return " ".join(words), np.asarray(packed["segment_ids"])[0].tolist()


def test_three_texts_in_two_segments(preprocessor):
    words, segments = three_texts(preprocessor, "good film", "the plot", "bad")
    assert words == "[CLS] good film [SEP] the plot [SEP] bad [SEP] [PAD] [PAD] [PAD]"
    assert segments == [0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0]


def test_the_longest_of_three_texts_is_cut(preprocessor):
    # 12 places without [CLS] and three [SEP]: 8 tokens, of which 3 are for the others.
    texts = "good film", "the plot was so very a it", "bad"
    words, _ = three_texts(preprocessor, *texts)
    assert words == "[CLS] good film [SEP] the plot was so very [SEP] bad [SEP]"
