"""Exports of every encoder but BERT, against the Keras models."""

import numpy as np
import pytest
import tensorflow as tf
from encoders import NAMES, PAIRS, TEXTS

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.examples import WordExamples
from adapters_tf.export.adapter import save_adapter_model
from adapters_tf.export.base import export_base
from adapters_tf.export.preprocessor import PreprocessorFunctions
from adapters_tf.export.session import ServingSession
from adapters_tf.export.text_tokens import without_growing_table, without_ragged_checks
from adapters_tf.export.versions import create_servable
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.presets import load_preprocessor, preprocess_texts
from adapters_tf.models.task import Task
from adapters_tf.tasks.build import build_model
from adapters_tf.training.predict_texts import LoadedAdapter

LENGTH = 16


@pytest.mark.parametrize("length", [8, LENGTH])
def test_packed_rows_are_those_of_keras_hub(encoder, length, pack_texts):
    preprocessor = load_preprocessor(encoder.path, length)
    tokenizer = without_growing_table(preprocessor.tokenizer)
    for pairs in (None, tf.constant(PAIRS)):
        texts = tf.constant(TEXTS)
        rows = texts if pairs is None else (texts, pairs)
        expected = preprocess_texts(preprocessor, rows)
        packed = pack_texts(tokenizer, texts, pairs, length)
        width = packed["input_mask"].shape[1]
        names = {"input_word_ids": "token_ids", "input_mask": "padding_mask"}
        for hub, ours in names.items():
            value = np.asarray(expected[ours], np.int32)[:, :width]
            np.testing.assert_array_equal(packed[hub], value)
        # The same through TF Hub's interface, which pads to the length.
        functions = PreprocessorFunctions(preprocessor)
        segments = [functions.tokenize(t) for t in (texts, pairs) if t is not None]
        hub = functions.pack(segments)
        np.testing.assert_array_equal(hub["input_word_ids"], expected["token_ids"])
        np.testing.assert_array_equal(hub["input_mask"], expected["padding_mask"])


def test_byte_pairs_leave_no_state(encoder_named):
    # Fails where keras-hub looks words up in another way.
    tokenizer = encoder_named("roberta").tokenizer
    copy = without_growing_table(tokenizer)
    function = tf.function(lambda texts: copy(texts))
    texts = [*TEXTS, "", "<s> plot</s>", "zebra  zebra", " d!", "é\n\n x"]
    concrete = function.get_concrete_function(tf.TensorSpec([None], tf.string))
    nodes = list(concrete.graph.as_graph_def().node)
    for body in concrete.graph.as_graph_def().library.function:
        nodes += body.node_def
    assert not [node.op for node in nodes if "TableInsert" in node.op]
    theirs = tf.function(lambda texts: tokenizer(texts))
    for rows in (texts, texts[::-1], ["", ""], ["<s>"], ["bad bad"]):
        ours = concrete(tf.constant(rows))
        assert ours.to_list() == theirs(tf.constant(rows)).to_list()
    assert without_growing_table("other") == "other"


def test_ragged_tensors_are_unchecked_in_a_block_alone():
    def number():
        graph = tf.function(lambda x: tf.RaggedTensor.from_row_splits(x, x))
        concrete = graph.get_concrete_function(tf.TensorSpec([None], tf.int64))
        return len(concrete.graph.get_operations())

    before = number()
    with without_ragged_checks():
        assert number() < before / 5
    assert number() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_servable(encoder_named, name, tmp_path, check_here):
    """Base, three tasks and a servable; each checks itself; and its signatures."""
    encoder, saved, models = encoder_named(name), {}, {}
    forms = {
        "pair": ("classification", {"num_classes": 3}, AdapterConfig(4), ["a", "b"]),
        "one": ("regression", {"head_input": "mean"}, AdapterConfig(3), ["a"]),
        "three": ("regression", {}, AdapterConfig(2), ["a", "b", "c"]),
    }
    export_base(encoder.path, tmp_path / "base", LENGTH)
    for seed, (task, (kind, head, config, columns)) in enumerate(forms.items()):
        model = build_model(kind, encoder.path, config, head=head, seq_length=LENGTH)
        random = np.random.default_rng(seed)
        for v in model.trainable_variables:
            v.assign(random.normal(0, 0.3, v.shape) + v.path.endswith("gamma"))
        labels = ["x", "y", "z"] if kind == "classification" else []
        about = {"name": task, "text_columns": columns, "labels": labels}
        adapter = model.get_adapter(task=about, preset=encoder.path, seq_length=LENGTH)
        # A servable takes both forms of a task.
        if task == "one":
            save_adapter_model(adapter, model, tmp_path / task)
        else:
            save_adapter(adapter, tmp_path / task)
        saved[task], models[task] = tmp_path / task, model
    create_servable(tmp_path / "base", saved, tmp_path / "servable")
    logits = models["pair"].predict((TEXTS, PAIRS), verbose=0)
    scores = models["one"].predict(TEXTS, verbose=0)
    probabilities = tf.nn.softmax(logits).numpy()
    with ServingSession(tmp_path / "servable" / "1") as session:
        texts, pairs = np.array(TEXTS, object), np.array(PAIRS, object)
        got = session.run("pair_text", {"text": texts, "text_pair": pairs})
        close(got["probabilities"], probabilities)
        close(session.run("one_text", {"text": texts})["score"], scores)
        # The third text is long enough to be cut.
        joined = [f"{b}\x1e{a}" for a, b in zip(TEXTS, PAIRS, strict=True)]
        rows = {"text": texts, "text_pair": np.array(joined, object)}
        got = session.run("three_text", rows)
        triples = models["three"].predict((TEXTS, PAIRS, TEXTS), verbose=0)
        close(got["score"], triples)
        rows = {
            "text": np.concatenate([texts, texts]),
            "text_pair": np.concatenate([pairs, pairs]),
            "task": np.array(["pair"] * len(texts) + ["one"] * len(texts), object),
        }
        mixed = session.run("mixed_text", rows)
        close(mixed["probabilities"][: len(texts)], probabilities)
        close(mixed["score"][len(texts) :], scores)
        x = encoder.inputs()
        tokens = {
            "input_word_ids": x["token_ids"],
            "input_mask": x["padding_mask"],
            "input_type_ids": x.get("segment_ids", 0 * x["token_ids"]),
        }
        close(session.run("one", tokens)["score"], models["one"](x))


QUESTIONS = Task("facts", "question_answering", ("question", "context"))
NAMES_OF = Task("names", "token_classification", ("0",), ("O", "B-PER", "I-PER"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["distil_bert", "electra"])
def test_questions_and_tags(encoder_named, name, tmp_path, check_here):
    encoder, saved = encoder_named(name), {}
    export_base(encoder.path, tmp_path / "base", LENGTH)
    for seed, (task, head) in enumerate(
        ((QUESTIONS, None), (NAMES_OF, {"num_classes": 3}))
    ):
        model = build_model(
            task.kind, encoder.path, AdapterConfig(4), head=head, seq_length=LENGTH
        )
        random = np.random.default_rng(seed)
        for v in model.trainable_variables:
            v.assign(random.normal(0, 0.3, v.shape) + v.path.endswith("gamma"))
        about = {"task": task.to_dict(), "preset": encoder.path}
        adapter = model.get_adapter(**about, seq_length=LENGTH)
        saved[task.name] = tmp_path / task.name
        save_adapter(adapter, saved[task.name])
        if task is QUESTIONS:
            answers = model.predict((PAIRS, TEXTS), verbose=0)
    create_servable(tmp_path / "base", saved, tmp_path / "servable")
    words = WordExamples([tuple(text.split()) for text in TEXTS])
    records = LoadedAdapter(tmp_path / "names").predictions(words)
    texts = np.array(TEXTS, object)
    with ServingSession(tmp_path / "servable" / "1") as session:
        inputs = {"text": np.array(PAIRS, object), "text_pair": texts}
        got = session.run("facts_text", inputs)
        assert got["answer"].tolist() == [a.text.encode() for a in answers]
        assert got["answer_start"].tolist() == [a.start for a in answers]
        close(got["score"], [a.score for a in answers])
        assert any(a.text for a in answers)
        got = session.run("names_text", {"text": texts})
    for record, row, tags in zip(records, got["words"], got["tags"], strict=True):
        count = len(record["words"])
        assert row[:count].tolist() == [w.encode() for w in record["words"]]
        assert tags[:count].tolist() == [t.encode() for t in record["tags"]]
        assert not any(row[count:])
    assert len({tag for record in records for tag in record["tags"]}) > 1


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
