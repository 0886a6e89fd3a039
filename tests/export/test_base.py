"""The base SavedModel and its preprocessor, against keras-hub's own models."""

import json
import os
import resource
import subprocess
import sys

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from adapters_tf.adapters import AdapterConfig, export_forms
from adapters_tf.errors import UserError
from adapters_tf.export.base import export_base, save_base
from adapters_tf.export.base_functions import BaseFunctions
from adapters_tf.export.session import ServingSession
from adapters_tf.models.fingerprint import base_fingerprint
from adapters_tf.models.presets import (
    load_backbone,
    load_preprocessor,
    preprocess_texts,
)


@pytest.fixture(scope="module")
def plain(tiny_preset):
    """keras-hub's own backbone."""
    return keras_hub.models.BertBackbone.from_preset(tiny_preset)


@pytest.fixture(scope="module")
def loaded(base_dir):
    """The base, as programs on TF Hub's interface load it."""
    return hub.load(base_dir)


def close(got, expected):
    """Equal to 1e-5."""
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


# === The encoder ===


def test_outputs_are_those_of_keras_hub(loaded, plain, token_inputs, as_keras):
    blocks = [plain.get_layer(f"transformer_layer_{i}").output for i in range(2)]
    reference = keras.Model(plain.input, [plain.output, blocks])
    for n, length in ((8, 10), (1, 32), (3, 2), (0, 5)):
        inputs = token_inputs(n, length)
        expected, encoder_outputs = reference(as_keras(inputs), training=False)
        outputs = loaded(inputs)
        assert set(outputs) == {
            *("pooled_output", "sequence_output", "encoder_outputs", "default")
        }
        close(outputs["pooled_output"], expected["pooled_output"])
        close(outputs["default"], expected["pooled_output"])
        close(outputs["sequence_output"], expected["sequence_output"])
        assert len(outputs["encoder_outputs"]) == 2
        for ours, theirs in zip(
            outputs["encoder_outputs"], encoder_outputs, strict=True
        ):
            close(ours, theirs)


def test_tensorflow_alone_loads_the_same(loaded, base, token_inputs):
    inputs = token_inputs()
    outputs = base(inputs)
    for name, value in loaded(inputs).items():
        np.testing.assert_array_equal(outputs[name], value)


def test_interface_of_tf_hub(loaded, plain):
    for attribute in ("variables", "trainable_variables"):
        variables = getattr(loaded, attribute)
        assert len(variables) == len(plain.weights)
        expected = sorted(plain.weights, key=lambda v: v.path)
        for ours, theirs in zip(variables, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert list(loaded.regularization_losses) == []


def test_dropout_is_active_in_training_alone(loaded, token_inputs):
    inputs = token_inputs()
    for function in (loaded, lambda *a, **k: loaded(*a, k["training"])):
        first, second = (
            function(inputs, training=True)["sequence_output"] for _ in range(2)
        )
        # Every token of every row got another mask.
        assert (np.abs(first - second).max(axis=-1) > 1e-3).mean() > 0.9
        first, second = (
            function(inputs, training=False)["sequence_output"] for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, loaded(inputs)["sequence_output"])


def test_a_program_can_fine_tune_it(loaded, token_inputs):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded(token_inputs(), training=True)["default"] ** 2)
    gradients = tape.gradient(loss, list(loaded.trainable_variables))
    assert all(np.abs(tf.convert_to_tensor(g)).max() > 0 for g in gradients)


def test_each_function_is_traced_once(tiny_preset, tmp_path, monkeypatch):
    runs, run = [], BaseFunctions._run

    def counted(self, inputs, training):
        runs.append(training)
        return run(self, inputs, training)

    monkeypatch.setattr(BaseFunctions, "_run", counted)
    save_base(load_backbone(tiny_preset), tmp_path)
    # `__call__` and `encode`, then `encode_rows` of two forms, for inference alone.
    each = 1 + len(export_forms())
    assert (runs.count(True), runs.count(False)) == (each, each + 2)


def test_default_signature(base_dir, plain, token_inputs, as_keras):
    inputs = token_inputs()
    expected = plain(as_keras(inputs), training=False)
    with ServingSession(base_dir) as session:
        outputs = session.run("", inputs)
    assert set(outputs) == {"pooled_output", "sequence_output"}
    for name, value in outputs.items():
        close(value, expected[name])


def test_it_says_what_it_is(loaded, plain):
    assert loaded.fingerprint().numpy().decode() == base_fingerprint(plain)
    config = json.loads(loaded.config().numpy())
    assert config["fingerprint"] == base_fingerprint(plain)
    assert (config["hidden_dim"], config["max_sequence_length"]) == (16, 32)
    assert len(config["adapter_paths"]) == 4
    assert len(config["layer_norm_paths"]) == 5
    assert config["format_version"] == 1
    assert config["versions"]["tensorflow"] == tf.__version__


# === The preprocessor ===


@pytest.fixture(scope="module")
def preprocessor(base_dir):
    """The preprocessor inside of the base."""
    return hub.load(os.path.join(base_dir, "preprocessor"))


@pytest.fixture(scope="module")
def texts(random_texts):
    """Texts of many scripts and words that the vocabulary has."""
    random = np.random.default_rng(1)
    words = ["good", "The", "FILM", "plöt", "so", ".", "it", "unknown"]
    known = [" ".join(random.choice(words, n)) for n in (1, 3, 8, 14, 15, 30)]
    # In Python, where the tests are made, a NUL is a character as others are.
    return [*known, "", " \n", *(t.replace("\0", " ") for t in random_texts(60))]


def assert_packed(got, expected, as_keras):
    """Equal tokens, by each library's names."""
    got = as_keras(got)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], tf.cast(value, tf.int32), name)


def test_texts_to_inputs(preprocessor, tiny_preset, texts, as_keras):
    theirs = load_preprocessor(tiny_preset, 16)
    got = preprocessor(tf.constant(texts))
    assert_packed(got, preprocess_texts(theirs, tf.constant(texts)), as_keras)
    assert all(v.dtype == tf.int32 and v.shape[1] == 16 for v in got.values())


def test_tokens(preprocessor, tiny_preset, texts):
    tokenizer = load_preprocessor(tiny_preset).tokenizer
    got = preprocessor.tokenize(tf.constant(texts))
    assert got.to_list() == [list(tokenizer(text)) for text in texts]
    assert preprocessor.tokenize(tf.constant([], tf.string)).to_list() == []


@pytest.mark.parametrize("length", [None, 16, 5, 3, 40])
def test_packing_of_tokens(preprocessor, tiny_preset, texts, length, as_keras):
    """By TF Hub's recipe: tokenize each segment, then pack."""
    theirs = load_preprocessor(tiny_preset, length or 16)
    options = {} if length is None else {"seq_length": length}
    first, second = tf.constant(texts), tf.constant(texts[::-1])
    tokens = [preprocessor.tokenize(segment) for segment in (first, second)]
    got = preprocessor.bert_pack_inputs(tokens[:1], **options)
    assert_packed(got, preprocess_texts(theirs, first), as_keras)
    got = preprocessor.bert_pack_inputs(tokens, **options)
    assert_packed(got, preprocess_texts(theirs, (first, second)), as_keras)


def test_hub_recipe_from_strings_to_vectors(loaded, preprocessor, plain, tiny_preset):
    texts = tf.constant(["the film was good", "so sad ."])
    theirs = preprocess_texts(load_preprocessor(tiny_preset, 16), texts)
    got = loaded(preprocessor(texts))["pooled_output"]
    close(got, plain(theirs, training=False)["pooled_output"])


_UNEQUAL = """
import sys
import tensorflow as tf
import tensorflow_text
pack = tf.saved_model.load(sys.argv[1]).bert_pack_inputs
def segment(rows):
    lengths = tf.fill([rows], tf.constant(2, tf.int64))
    return tf.RaggedTensor.from_row_lengths(tf.fill([2 * rows], 5), lengths)
for rows in ((2, 3), (3, 2), (2, 0), (0, 2), (200, 1)):
    for options in ({}, {"seq_length": 5}):
        try:
            pack([segment(n) for n in rows], **options)
        except tf.errors.InvalidArgumentError as error:
            assert "The two segments must have the same number of rows." in str(error)
        else:
            sys.exit(f"{rows} was no error")
print(pack([segment(0), segment(0)])["input_mask"].shape)
"""


def test_segments_of_unequal_rows_are_an_error_and_no_crash(base_dir):
    done = subprocess.run(
        [sys.executable, "-P", "-c", _UNEQUAL, os.path.join(base_dir, "preprocessor")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "(0, 16)\n"), done.stderr[-2000:]


# === What is refused ===


@pytest.mark.parametrize("length", [-1, 0, 7, 33, 128])
def test_lengths_that_the_base_does_not_have(tiny_preset, tmp_path, length):
    rule = f"seq_length must be from 8 to 32, .*. Received: seq_length={length}$"
    with pytest.raises(UserError, match=rule):
        export_base(tiny_preset, tmp_path / "base", length)
    assert os.listdir(tmp_path) == []


def test_preset_with_adapters_of_its_own(tiny_preset, tmp_path):
    """Its fingerprint is that of the base below, whose outputs it does not give."""
    adapted = load_backbone(tiny_preset, AdapterConfig(4))
    adapted.save_to_preset(str(tmp_path / "preset"))
    rule = "exported without adapters, .* holds AdapterConfig.bottleneck_dim=4"
    with pytest.raises(UserError, match=rule):
        export_base(str(tmp_path / "preset"), tmp_path / "base", 16)
    assert os.listdir(tmp_path) == ["preset"]


def test_missing_preset_and_existing_output(tiny_preset, base_dir, tmp_path):
    with pytest.raises(UserError, match="'nowhere/at_all' could not be loaded"):
        export_base("nowhere/at_all", tmp_path / "base", 16)
    with pytest.raises(UserError, match="new or empty. Received: .*base', which exist"):
        export_base(tiny_preset, base_dir, 16)
    assert os.listdir(tmp_path) == []


def test_full_disk(tiny_preset, tmp_path):
    """Files cannot grow beyond the limit: TensorFlow's own writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match="base' could not be written: .*too large"):
            export_base(tiny_preset, tmp_path / "base", 16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []
