"""Every encoder but BERT: the plain one beside the one with adapters."""

import hashlib
import json
import subprocess
import sys

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from encoders import BLOCK_CALLS, NAMES, PAIRS, TEXTS, D, make_encoder

from adapters_tf.adapters import AdapterConfig
from adapters_tf.convert.bert import load_bert
from adapters_tf.data.examples import Examples
from adapters_tf.errors import AdapterFileError, DataError, UserError
from adapters_tf.models.adapter_backbone import named_outputs
from adapters_tf.models.adapter_file import load_adapter, save_adapter
from adapters_tf.models.backbones import LAYER_NORM_EPS, XLMRobertaAdapterBackbone
from adapters_tf.models.fingerprint import base_fingerprint
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.presets import (
    load_backbone,
    load_preprocessor,
    preprocess_texts,
)
from adapters_tf.models.tokenizers import special_tokens
from adapters_tf.tasks.build import build_model, load_model
from adapters_tf.tasks.text_kind import tokenize

ADAPTER = AdapterConfig(4)
TWO = {"num_classes": 2}


@pytest.fixture(scope="module")
def model_named(encoder_named):
    """Function: the classifier on the encoder of this name, made once, randomised."""
    made = {}

    def get(name):
        if name not in made:
            path = encoder_named(name).path
            model = build_model(
                "classification", path, ADAPTER, head=TWO, seq_length=16
            )
            random = np.random.default_rng(1)
            for v in model.trainable_variables:
                v.assign(random.normal(0, 0.3, v.shape) + v.path.endswith("gamma"))
            made[name] = model
        return made[name]

    return get


@pytest.fixture
def model(encoder, model_named):
    return model_named(encoder.name)


@pytest.mark.parametrize("adapter", [None, AdapterConfig(4, zero_init=True)])
def test_equals_plain_bit_for_bit(encoder, adapter):
    backbone, x = load_backbone(encoder.path, adapter), encoder.inputs()
    outputs, expected = backbone(x), named_outputs(encoder.plain(x))
    assert set(named_outputs(outputs)) == set(expected)
    for name, value in named_outputs(outputs).items():
        np.testing.assert_array_equal(value, expected[name])
    assert [i for i, _ in backbone.calls] == [
        min(i, encoder.num_blocks - 1) for i in range(BLOCK_CALLS)
    ]
    paths = {v.path for v in backbone.weights} - {v.path for v in encoder.plain.weights}
    assert len(paths) == (8 * encoder.num_blocks if adapter else 0)
    # The plain one of it is keras-hub's, with the same fingerprint.
    plain = backbone.to_plain()
    assert type(plain) is type(encoder.plain)
    assert base_fingerprint(plain) == backbone.fingerprint


def test_epsilons_are_those_that_configurations_are_compared_with(encoder):
    norms = [
        layer
        for layer in encoder.plain._flatten_layers()
        if isinstance(layer, keras.layers.LayerNormalization)
    ]
    model_type = encoder.name.replace("_", "-")
    expected = 1e-12 if model_type == "distil-bert" else LAYER_NORM_EPS[model_type]
    assert {norm.epsilon for norm in norms} == {expected}
    assert len(norms) == 1 + 2 * encoder.num_blocks
    assert LAYER_NORM_EPS["bert"] == 1e-12


def test_every_call_of_a_block_has_its_adapters(encoder):
    # By hand for the last sub-layer: one unit moved in the adapters' output bias moves
    # every block's output before its LayerNorm.
    backbone = load_backbone(encoder.path, AdapterConfig(4, zero_init=True))
    x = encoder.inputs()
    calls = keras.Model(backbone.input, [output for _, output in backbone.calls])
    before = calls(x)
    bias = backbone.encoder_blocks[-1].feed_forward_adapter.up_projection.bias
    bias.assign(np.linspace(-1, 1, D))
    moved = [np.abs(a - b).max() > 0.1 for a, b in zip(calls(x), before, strict=True)]
    assert moved == [encoder.name == "albert", True]


def test_parameters_by_hand(encoder, model):
    blocks, embedding = encoder.num_blocks, D
    if encoder.name in ("electra", "albert"):
        embedding = 8
    adapters = blocks * 2 * (2 * 4 * D + 4 + D)
    norms = 2 * embedding + blocks * 2 * 2 * D
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trained == adapters + norms + (2 * D + 2)
    assert model.backbone.num_fixed_blocks == 0


def test_fit_changes_the_trainable_set_alone(encoder):
    model = build_model(
        "classification", encoder.path, ADAPTER, head=TWO, seq_length=16
    )
    before = {v.path: v.numpy() for v in model.weights}
    model.fit((TEXTS, PAIRS), np.array([0, 1, 0, 1]), batch_size=4, verbose=0)
    changed = {v.path for v in model.weights if (v.numpy() != before[v.path]).any()}
    trainable = {v.path for v in model.trainable_variables}
    assert changed <= trainable
    assert len(changed) > 0.9 * len(trainable)


def test_strings_and_features_give_the_same(encoder, model):
    preprocessor = load_preprocessor(encoder.path, 16)
    features = tokenize(Examples((TEXTS, PAIRS)), preprocessor)
    assert (features.segment_ids is not None) == encoder.has_segments
    x = features.batch(np.arange(len(TEXTS)))
    assert set(x) == set(features.specs()) == set(model.input)
    expected = model.predict((TEXTS, PAIRS), verbose=0)
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-5)
    # What is cut, counted with the special tokens of the base.
    lengths = np.array(
        [[len(t) for t in preprocessor.tokenizer(c)] for c in (TEXTS, PAIRS)]
    )
    special = 4 if "roberta" in encoder.name else 3
    assert features.num_truncated == (lengths.sum(0) + special > 16).sum() > 0


def test_special_tokens_are_those_of_keras_hub(encoder):
    special = special_tokens(encoder.tokenizer)
    preprocessor = load_preprocessor(encoder.path, 16)
    row = preprocess_texts(preprocessor, (np.array(["a"]), np.array(["the"])))
    ids = np.asarray(row["token_ids"])[0]
    a, the = (list(map(int, preprocessor.tokenizer([t])[0])) for t in ("a", "the"))
    expected = [special.start, *a, *special.separators, *the, special.end]
    assert ids[: len(expected)].tolist() == expected
    assert special.count(2) == len(expected) - len(a) - len(the)
    assert set(ids[len(expected) :].tolist()) <= {special.pad}


@pytest.mark.parametrize("name", ["xlm_roberta", "albert"])
def test_texts_are_read_after_caches_are_cleared(name, encoder_named):
    path = encoder_named(name).path
    model = build_model("classification", path, ADAPTER, head=TWO, seq_length=16)
    expected = model.predict((TEXTS, PAIRS), verbose=0)
    tokenizer = model.preprocessor.tokenizer
    for clear in (lambda: keras.utils.set_random_seed(1), keras.utils.clear_session):
        clear()
        # What the model mends: with other versions of TF.Text that may change.
        with pytest.raises(tf.errors.NotFoundError, match="does not exist"):
            tokenizer._sentence_piece.vocab_size()
        found = model.predict((TEXTS, PAIRS), verbose=0)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    model.compile()
    keras.utils.set_random_seed(2)
    labels = np.array([0, 1, 0, 1])
    loss, _ = model.evaluate((TEXTS, PAIRS), labels, verbose=0)
    probabilities = np.asarray(keras.ops.softmax(expected))
    mean = -np.log(probabilities[range(4), labels]).mean()
    np.testing.assert_allclose(loss, mean, rtol=1e-5)


_RELOAD = """
import sys
import keras
import numpy as np
from adapters_tf.tasks.build import load_model
from encoders import PAIRS, TEXTS
for directory in sys.argv[1:]:
    expected = np.load(directory + "/expected.npy")
    read = load_model(directory + "/adapter")
    np.testing.assert_array_equal(read.predict((TEXTS, PAIRS), verbose=0), expected)
    read = keras.saving.load_model(directory + "/model.keras")
    np.testing.assert_array_equal(read.predict((TEXTS, PAIRS), verbose=0), expected)
    print("same")
"""


@pytest.mark.slow
def test_saved_and_read_in_a_new_process(encoder_named, model_named, tmp_path, request):
    directories = []
    for name in NAMES:
        model, directory = model_named(name), tmp_path / name
        adapter = model.get_adapter(preset=encoder_named(name).path, seq_length=16)
        save_adapter(adapter, directory / "adapter")
        model.save(directory / "model.keras")
        expected = model.predict((TEXTS, PAIRS), verbose=0)
        np.save(directory / "expected.npy", expected)
        directories.append(str(directory))
    tests = str(request.config.rootpath / "tests")
    code = f"import sys; sys.path.append({tests!r})\n{_RELOAD}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *directories],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["same"] * len(NAMES), done.stderr[-2000:]


def test_roberta_with_a_hidden_layer_is_keras_hubs_classifier(
    encoder_named, model_named
):
    encoder = encoder_named("roberta")
    adapter = AdapterConfig(4, zero_init=True)
    head = {"num_classes": 3, "hidden_layer": True}
    ours = build_model(
        "classification", encoder.path, adapter, head=head, seq_length=16
    )
    theirs = keras_hub.models.RobertaTextClassifier(encoder.plain, num_classes=3)
    for own, other in (("head_hidden", "pooled_dense"), ("logits", "logits")):
        ours.get_layer(own).set_weights(theirs.get_layer(other).get_weights())
    x = encoder.inputs()
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-6, atol=1e-6)


# === The file and the fingerprint ===


def test_files_of_bert_are_as_before(tiny_preset, tmp_path):
    model = build_model("classification", tiny_preset, ADAPTER, head=TWO, seq_length=16)
    save_adapter(model.get_adapter(preset=tiny_preset), tmp_path / "a")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert "backbone" not in config
    assert load_adapter(tmp_path / "a").backbone == "BertBackbone"
    # The fingerprint of format 1, by hand.
    plain = keras_hub.models.BertBackbone.from_preset(tiny_preset)
    sizes = {
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "max_sequence_length": 32,
        "num_heads": 2,
        "num_layers": 2,
        "num_segments": 2,
        "vocabulary_size": 25,
    }
    digest = hashlib.sha256(json.dumps(sizes).encode())
    for v in sorted(plain.weights, key=lambda v: v.path):
        digest.update(
            f"{v.path}|float32|{tuple(v.shape)}".encode() + v.numpy().tobytes()
        )
    assert config["base_fingerprint"] == f"sha256:{digest.hexdigest()}"


def test_the_class_is_in_the_fingerprint(encoder_named):
    plain = encoder_named("roberta").plain
    other = keras_hub.models.XLMRobertaBackbone(**plain.get_config())
    other.set_weights(plain.get_weights())
    x = encoder_named("roberta").inputs()
    np.testing.assert_array_equal(other(x), plain(x))
    assert base_fingerprint(other) != base_fingerprint(plain)
    adapted = XLMRobertaAdapterBackbone.from_backbone(other)
    assert adapted.fingerprint == base_fingerprint(other)


def test_an_adapter_of_another_class_is_refused(
    encoder_named, model_named, tiny_preset, tmp_path
):
    path = encoder_named("roberta").path
    adapter = model_named("roberta").get_adapter(preset=path, seq_length=16)
    save_adapter(adapter, tmp_path / "a")
    assert load_adapter(tmp_path / "a").backbone == "RobertaBackbone"
    message = "trained on a RobertaBackbone .*; the model has a BertBackbone"
    with pytest.raises(AdapterFileError, match=message):
        load_model(tmp_path / "a", tiny_preset)
    message = "trained on a RobertaBackbone .*; the model has a XLMRobertaBackbone"
    with pytest.raises(AdapterFileError, match=message):
        model_named("xlm_roberta").set_adapter(adapter)


# === Parts of a model ===


def tensors(encoder):
    return {name: tf.constant(value) for name, value in encoder.inputs().items()}


@pytest.mark.parametrize("name", ["roberta", "distil_bert", "electra"])
def test_frozen_prefix(encoder_named, name):
    encoder = encoder_named(name)
    top = AdapterConfig(4, layers=(-1,))
    model = build_model("classification", encoder.path, top, head=TWO, seq_length=16)
    prefix, x = FrozenPrefix(model), tensors(encoder)
    assert prefix.num_blocks == 1
    parts = {"hidden_states": prefix.lower(x), "padding_mask": x["padding_mask"]}
    np.testing.assert_array_equal(prefix.upper(parts), model(x))
    # All blocks, where a head without adapters is trained.
    model = build_model(
        "classification", encoder.path, tuning="head", head=TWO, seq_length=16
    )
    prefix = FrozenPrefix(model)
    parts["hidden_states"] = prefix.lower(x)
    assert prefix.num_blocks == 2
    np.testing.assert_array_equal(prefix.upper(parts), model(x))


@pytest.mark.parametrize(
    ("groups", "inner", "calls", "layers", "frozen"),
    [
        (1, 1, [0, 0], (0,), 0),
        (2, 1, [0, 0, 1, 1], (1,), 1),
        # Block 0 is called above block 1 as well.
        (1, 2, [0, 1, 0, 1], (1,), 0),
    ],
)
def test_shared_blocks(tmp_path, groups, inner, calls, layers, frozen):
    options = {"num_groups": groups, "num_inner_repetitions": inner}
    options["num_layers"] = len(calls) // inner
    encoder = make_encoder("albert", tmp_path, **options)
    adapter = AdapterConfig(4, layers=layers)
    model = build_model(
        "classification", str(tmp_path), adapter, head=TWO, seq_length=16
    )
    assert [i for i, _ in model.backbone.calls] == calls
    assert model.backbone.num_fixed_blocks == frozen
    prefix, x = FrozenPrefix.of(model), tensors(encoder)
    if not frozen:
        assert prefix is None
        return
    parts = {"hidden_states": prefix.lower(x), "padding_mask": x["padding_mask"]}
    np.testing.assert_array_equal(prefix.upper(parts), model(x))


@pytest.mark.parametrize("name", ["distil_bert", "electra"])
def test_questions(name, encoder_named):
    encoder = encoder_named(name)
    model = build_model("question_answering", encoder.path, ADAPTER, seq_length=16)
    answers = model.predict((["a film ?"] * 4, TEXTS), verbose=0)
    for answer, text in zip(answers, TEXTS, strict=True):
        assert answer.text and text.startswith(answer.text, answer.start)


def test_tags(encoder_named):
    # DistilBERT's are in test_token_classifier.py.
    model = build_model(
        "token_classification",
        encoder_named("electra").path,
        ADAPTER,
        head={"num_classes": 3},
        seq_length=16,
    )
    sentences = [["the", "film", "was", "good"], ["bad", "plot"]]
    model.fit(sentences, [[0, 1, 0, 2], [2, 0]], batch_size=2, verbose=0)
    assert [len(tags) for tags in model.predict(sentences, verbose=0)] == [4, 2]


@pytest.mark.parametrize("name", ["roberta", "xlm_roberta", "albert"])
def test_questions_on_other_tokenizers(name, encoder_named):
    path = encoder_named(name).path
    with pytest.raises(UserError, match="needs a base with a WordPiece tokenizer"):
        build_model("question_answering", path, ADAPTER, seq_length=16)


def test_byte_pairs_are_the_same_outside_of_a_graph(encoder_named):
    encoder = encoder_named("roberta")
    preprocessor = load_preprocessor(encoder.path, 32)
    here = preprocess_texts(preprocessor, tf.constant(TEXTS))["token_ids"]
    rows = tf.data.Dataset.from_tensor_slices(TEXTS).batch(len(TEXTS))
    rows = rows.map(lambda texts: preprocess_texts(preprocessor, texts)["token_ids"])
    np.testing.assert_array_equal(here, next(iter(rows)))
    tokens = [preprocessor.tokenizer.id_to_token(int(i)) for i in here[1]]
    # No word ends with what is no letter, as in the pretraining of RoBERTa.
    assert "d!" in encoder.tokenizer.get_vocabulary() and "d!" not in tokens


# === What is refused ===


def test_pooled_output_without_a_pooler(encoder):
    head = {**TWO, "head_input": "pooled"}
    if encoder.name in ("electra", "albert"):
        model = build_model(
            "classification", encoder.path, ADAPTER, head=head, seq_length=16
        )
        assert model.reads_pooler
        return
    with pytest.raises(UserError, match="cls or mean on a base without a pooler"):
        build_model("classification", encoder.path, ADAPTER, head=head, seq_length=16)


def test_tensors_that_the_base_does_not_read(encoder_named, model_named):
    model = model_named("roberta")
    x = {**encoder_named("roberta").inputs(), "segment_ids": np.zeros((4, 9), "int32")}
    message = "reads padding_mask, token_ids. Received: tensors .*segment_ids"
    with pytest.raises(DataError, match=message):
        model.preprocess_samples(x)
    # In Keras's pipeline the text alone is left of an error.
    with pytest.raises(Exception, match=message):
        model.predict(x, verbose=0)


def test_an_encoder_of_other_blocks(tmp_path):
    keras_hub.models.FNetBackbone(
        vocabulary_size=9, num_layers=1, hidden_dim=8, intermediate_dim=8
    ).save_to_preset(str(tmp_path))
    message = "AlbertBackbone, BertBackbone, DistilBertBackbone, .*a FNetBackbone"
    with pytest.raises(UserError, match=message):
        load_backbone(str(tmp_path))


def test_conversion_of_another_base(encoder_named):
    with pytest.raises(UserError, match="for BERT bases alone. .* RobertaBackbone"):
        load_bert(encoder_named("roberta").path)
