"""Tags of words, and more than two texts, in servables: against the Keras models."""

import functools
import json
import pathlib

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.conll import valid_tags
from adapters_tf.data.examples import WordExamples
from adapters_tf.errors import UserError
from adapters_tf.export import create_servable
from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.combine import load_exported
from adapters_tf.export.op_check import unsupported_ops
from adapters_tf.export.packing import fair_shares, pack_rows
from adapters_tf.export.servable import LoadedBase, save_version
from adapters_tf.export.session import ServingSession
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.word_tokens import word_features
from adapters_tf.tasks.word_tags import tagged_words
from adapters_tf.training.predict_texts import LoadedAdapter

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]
TEXTS = [
    "the film was good",
    "  Só\u00a0SAD\t.good  ",
    "",
    "\u200b a\u200b",
    "a very lovely plot and so it was . " * 3,
    "中文 ? 😀 good",
]


@pytest.fixture(scope="module")
def tasks(save_task):
    """Tags of two tasks, several labels, a classifier, and one of three texts."""
    return {
        "names": save_task(
            "names",
            "token_classification",
            TAGS,
            ("0",),
            seed=31,
            adapter=AdapterConfig(4),
            head={"num_classes": 5},
        ),
        "parts": save_task(
            "parts",
            "token_classification",
            TAGS[:3],
            ("0",),
            seed=32,
            adapter=AdapterConfig(2),
            head={"num_classes": 3},
            seq_length=12,
        ),
        "moods": save_task(
            "moods",
            "multi_label",
            ["glad", "sad", "late"],
            seed=33,
            adapter=AdapterConfig(3),
            head={"num_classes": 3, "head_input": "mean"},
        ),
        "kinds": save_task(
            "kinds",
            "classification",
            ["x", "y"],
            seed=34,
            adapter=AdapterConfig(3),
            head={"num_classes": 2},
        ),
        "roles": save_task(
            "roles",
            "classification",
            ["x", "y", "z"],
            ("claim", "evidence", "source"),
            seed=35,
            adapter=AdapterConfig(2),
            head={"num_classes": 3, "head_input": "mean"},
            seq_length=14,
        ),
    }


@pytest.fixture(scope="module")
def session(tasks, base_dir, tmp_path_factory):
    """Runs a servable's signatures; it was checked as every export, in a process."""
    path = tmp_path_factory.mktemp("servable") / "servable"
    create_servable(base_dir, {n: t.directory for n, t in tasks.items()}, path)
    assert unsupported_ops(path / "1") == {}
    with ServingSession(path / "1") as session:
        yield session.run


def strings(texts):
    return np.array([t.encode() for t in texts], object)


@functools.cache
def loaded_adapter(directory):
    return LoadedAdapter(directory)


def words_of(text):
    """The words of a text; only ASCII's white space divides them."""
    return tuple(word.decode() for word in text.encode().split())


def expected_words(task, texts):
    """What `adapters-tf-predict` says of the words that were read."""
    rows = WordExamples([words_of(text) for text in texts])
    loaded = loaded_adapter(task.adapter_dir)
    words = word_features(rows.words, task.model.preprocessor)
    records = loaded.predictions(rows)
    return [
        [
            (word.encode(), tag.encode())
            for word, tag, place in zip(r["words"], r["tags"], places, strict=True)
            if place >= 0
        ]
        for r, places in zip(records, words.firsts, strict=True)
    ]


def check_row(row, words, text):
    count = len(words)
    assert list(zip(row["words"], row["tags"], strict=True))[:count] == words
    assert not any(row["words"][count:]) and not any(row["tags"][count:])
    assert (row["word_starts"][count:] == -1).all()
    assert (row["word_ends"][count:] == -1).all()
    assert (row["tag_scores"][count:] == 0).all()
    assert (row["tag_scores"][:count] > 0.2).all()
    for (word, _), start, end in zip(
        words, row["word_starts"][:count], row["word_ends"][:count], strict=True
    ):
        assert text[start:end] == word.decode()


def rows_of(outputs):
    return [{k: v[i] for k, v in outputs.items()} for i in range(len(outputs["tags"]))]


@pytest.mark.parametrize("name", ["names", "parts"])
def test_texts(name, session, tasks):
    got = session(f"{name}_text", {"text": strings(TEXTS)})
    words = expected_words(tasks[name], TEXTS)
    assert set(got) == {"words", "tags", "tag_scores", "word_starts", "word_ends"}
    assert got["words"].shape == (6, max(map(len, words)))
    # A word that is all invisible has no token; cut are those behind the end.
    assert [w[0] for w in words[3]] == ["a\u200b".encode()] and words[2] == []
    # White space beyond ASCII belongs to its word, as in files.
    assert [w[0].decode() for w in words[1]] == ["Só\u00a0SAD", ".good"]
    assert len(words[4]) == {"names": 14, "parts": 10}[name]
    for row, expected, text in zip(rows_of(got), words, TEXTS, strict=True):
        check_row(row, expected, text)


def test_tokens(session, tasks, token_inputs, as_keras):
    inputs = token_inputs(5, 9, seed=2)
    got = session("names", inputs)
    logits = tasks["names"].model(as_keras(inputs), training=False)
    np.testing.assert_allclose(got["probabilities"], tf.nn.softmax(logits), 1e-4, 1e-5)
    assert got["labels"].tolist() == [[t.encode() for t in TAGS]] * 5


def test_mixed(session, tasks):
    names = [*tasks, "none", "names", "parts", "", "moods"] * 2
    texts = [TEXTS[i % len(TEXTS)] for i in range(len(names))]
    inputs = {"text": strings(texts), "task": strings(names)}
    inputs["text_pair"] = strings(["good\x1ea film"] * len(names))
    got = session("mixed_text", inputs)
    for row, name, text in zip(rows_of(got), names, texts, strict=True):
        of_words = name in ("names", "parts")
        check_row(row, expected_words(tasks[name], [text])[0] if of_words else [], text)
        kind = tasks[name].task["kind"] if name in tasks else ""
        assert row["kind"].decode() == kind
        if name in ("moods", "kinds", "roles"):
            own = {"text": strings([text])}
            if name == "roles":
                own["text_pair"] = inputs["text_pair"][:1]
            own = session(f"{name}_text", own)
            width = len(own["labels"][0])
            assert row["labels"][:width].tolist() == own["labels"][0].tolist()
            np.testing.assert_allclose(
                row["probabilities"][:width], own["probabilities"][0], 1e-4, 1e-5
            )
            assert row["label"] == (b"" if name == "moods" else own["label"][0])
        else:
            assert not any(row["labels"]) and not row["probabilities"].any()
    # No row of words at all: no words.
    only = {k: v[2:3] for k, v in inputs.items()}
    assert session("mixed_text", only)["tags"].shape == (1, 0)


SECOND = ["good", "", "the film " * 9, "a", "so it was", "sad"]
THIRD = ["a plot", "bad film", "", "awful " * 9, "very lovely", "good \x00 fine"]


def test_three_texts(session, tasks):
    task = tasks["roles"]
    pairs = [*map("\x1e".join, zip(SECOND, THIRD, strict=True))]
    inputs = {"text": strings(TEXTS), "text_pair": strings(pairs)}
    got = session("roles_text", inputs)
    columns = tuple(tf.constant(strings(c)) for c in (TEXTS, SECOND, THIRD))
    packed = preprocess_texts(task.model.preprocessor, columns)
    expected = tf.nn.softmax(task.model(packed, training=False))
    np.testing.assert_allclose(got["probabilities"], expected, 1e-4, 1e-5)


@pytest.mark.parametrize("length", [8, 11, 40])
def test_three_texts_are_packed_as_in_training(tasks, length):
    tokenizer = tasks["roles"].model.preprocessor.tokenizer
    pairs = [*map("\x1e".join, zip(SECOND, THIRD, strict=True))]
    yes = tf.constant([True] * len(TEXTS))
    windows = pack_rows(
        tokenizer,
        tf.constant(strings(TEXTS)),
        tf.constant(strings(pairs)),
        yes,
        ~yes,
        tf.fill([len(TEXTS)], length),
        ~yes,
        yes,
    )
    columns = tuple(tf.constant(strings(c)) for c in (TEXTS, SECOND, THIRD))
    packer = keras_hub.models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=length
    )
    packed = preprocess_texts(packer, columns)
    most = windows.inputs["input_mask"].shape[1]
    for name, ours in INPUTS.items():
        expected = np.asarray(packed[ours], np.int32)
        np.testing.assert_array_equal(windows.inputs[name], expected[:, :most])
        assert not np.any(expected[:, most:])


def test_fair_shares_are_those_of_the_packer():
    random = np.random.default_rng(0)
    lengths = random.integers(0, 12, (200, 4)).astype(np.int32)
    for room in (0, 1, 6, 13, 60):
        segments = [tf.ragged.range(tf.constant(column)) for column in lengths.T]
        trimmed = tf_text.RoundRobinTrimmer(room).trim(segments)
        expected = np.stack([t.row_lengths() for t in trimmed], axis=1)
        found = fair_shares(tf.constant(lengths), tf.fill([200], room))
        np.testing.assert_array_equal(found, expected)


def test_words_are_cut_as_in_training(tasks):
    preprocessor = tasks["names"].model.preprocessor
    flags = tf.constant([True] * len(TEXTS))
    windows = pack_rows(
        preprocessor.tokenizer,
        tf.constant(strings(TEXTS)),
        tf.constant(strings(["not read"] * len(TEXTS))),
        ~flags,
        ~flags,
        tf.fill([len(TEXTS)], 16),
        flags,
    )
    words = word_features([*map(words_of, TEXTS)], preprocessor)
    batch = words.features.batch(np.arange(len(TEXTS)), multiple=1)
    np.testing.assert_array_equal(windows.inputs["input_word_ids"], batch["token_ids"])
    np.testing.assert_array_equal(windows.inputs["input_mask"], batch["padding_mask"])
    assert not np.any(windows.inputs["input_type_ids"])
    np.testing.assert_array_equal(windows.rows, np.arange(len(TEXTS)))


def test_tags_by_hand():
    tags = [["O", "I-a", "I-b", "I-a", "I-a", "O"], ["B-b", "I-b", "O", "O", "O", "O"]]
    starts = [[-1, 0, 0, 3, 6, -1], [-1, 4, 4, 4, -1, -1]]
    ends = [[-1, 2, 2, 5, 9, -1], [-1, 6, 6, 6, -1, -1]]
    scores = np.arange(12, dtype=np.float32).reshape(2, 6) / 12
    texts = ["ab é die", "ééab"]
    names = ["O", "I-a", "I-b", "B-b"]
    probabilities = np.zeros((2, 6, 4), np.float32)
    for place, tag in np.ndenumerate(tags):
        probabilities[(*place, names.index(tag))] = scores[place]
    found = tagged_words(
        {"labels": tf.constant([names] * 2), "probabilities": probabilities},
        {"starts": tf.constant(starts), "ends": tf.constant(ends)},
        tf.constant(texts),
    )
    assert found["words"].numpy().tolist() == [
        [b"ab", "é".encode(), b"die"],
        [b"ab", b"", b""],
    ]
    assert [t.decode() for t in found["tags"][0].numpy()] == valid_tags(["I-a"] * 3)
    assert found["tags"][1].numpy().tolist() == [b"B-b", b"", b""]
    np.testing.assert_array_equal(found["word_starts"], [[0, 3, 5], [2, -1, -1]])
    np.testing.assert_array_equal(found["word_ends"], [[2, 4, 8], [4, -1, -1]])
    np.testing.assert_allclose(
        found["tag_scores"], [[1 / 12, 0.25, 1 / 3], [7 / 12, 0, 0]]
    )


def test_a_base_without_words_is_refused(tasks, base_dir, tmp_path):
    base = LoadedBase(pathlib.Path(base_dir))
    base.preprocessor = object()  # that of an older version has no all_windows
    adapter = load_exported(tasks["names"].directory, "adapter")
    config = json.loads(adapter.config().numpy())
    task = ExportedTask.from_saved_model(config, adapter)
    with pytest.raises(UserError, match="can cut texts so.*export the base again"):
        save_version(base, {"names": task}, tmp_path / "1")
