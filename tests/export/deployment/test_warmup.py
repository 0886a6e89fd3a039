"""Warm-up: a request for every signature, read back and run in a TF1 session."""

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.export import warmup as warmup_module
from adapters_tf.export.deployment.write import default_examples, make_inputs
from adapters_tf.export.describe import read_servable_json
from adapters_tf.export.session import (
    ServingSession,
    Signature,
    TensorInfo,
    read_signatures,
)
from adapters_tf.export.warmup import (
    predict_request,
    read_warmup,
    replay_warmup,
    warmup_records,
    write_warmup,
)


def plan(servable, **options):
    version = servable / "1"
    examples = default_examples(read_servable_json(version))
    signatures = read_signatures(version)
    return warmup_records(signatures, examples, "toy", **options)


def test_signatures_are_read(saved_servable):
    signatures = read_signatures(saved_servable / "1")
    assert list(signatures) == [
        *("entails", "entails_text", "likeness", "likeness_text", "mixed_text"),
        *("questions", "questions_text", "sentiment", "sentiment_text"),
        "serving_default",
    ]
    signature = signatures["entails"]
    tokens = signature.inputs["input_word_ids"]
    assert (tokens.dtype, tokens.shape) == (tf.int32, (None, None))
    assert signature.outputs["probabilities"].shape == (None, 3)
    assert list(signatures["sentiment_text"].inputs) == ["text"]
    assert signatures["mixed_text"].inputs["task"].dtype == tf.string


def test_every_signature_has_requests_of_several_shapes(servable):
    warmup = plan(servable)
    assert warmup.left_out == ()
    write_warmup(servable / "1", warmup.records)
    shapes, values = {}, {}
    for request in read_warmup(servable / "1"):
        assert request.model_spec.name == "toy"
        name = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(t) for key, t in request.inputs.items()}
        shapes.setdefault(name, []).append({v.shape for v in inputs.values()})
        for key, value in inputs.items():
            values.setdefault((name, key), []).extend(value.tolist())
    assert set(shapes) == set(read_signatures(servable / "1"))
    for name, found in shapes.items():
        if name.endswith("_text") or name == "serving_default":
            assert found == [{(2,)}, {(1,)}, {(8,)}]
        else:
            assert found == [{(2, 16)}, {(1, 4)}, {(8, 8)}]
    lengths = [len(text) for text in values["sentiment_text", "text"]]
    assert min(lengths) < 50 < 500 < max(lengths)
    asked = {task.decode() for task in values["mixed_text", "task"]}
    assert asked == {"sentiment", "entails", "likeness", "questions"}


def test_tokens_are_words_and_then_padding(saved_servable):
    version = saved_servable / "1"
    examples = default_examples(read_servable_json(version))
    signature = read_signatures(version)["entails"]
    inputs = make_inputs("entails", signature, examples, rows=3, length=6)
    words, mask, types = (
        inputs[f"input_{name}"] for name in ("word_ids", "mask", "type_ids")
    )
    assert mask.tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0], [1] * 6]
    np.testing.assert_array_equal(words > 0, mask == 1)
    assert types.tolist() == [
        [0, 0, 0, 1, 1, 1],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1],
    ]
    assert {array.dtype for array in inputs.values()} == {np.dtype("int32")}


def test_a_fixed_length_is_kept(saved_servable):
    examples = default_examples(read_servable_json(saved_servable / "1"))
    mask = TensorInfo("mask:0", tf.int64, tf.TensorShape([None, 12]))
    inputs = make_inputs("x", Signature({"input_mask": mask}, {}), examples, 2, 4)
    assert inputs["input_mask"].shape == (2, 12)
    assert inputs["input_mask"].dtype == np.int64


def test_own_rows_are_used(saved_servable):
    version = saved_servable / "1"
    servable = read_servable_json(version)
    own = {"likeness": [("eins", "zwei"), ("drei", "vier")]}
    examples = default_examples(servable, own)
    signatures = read_signatures(version)
    inputs = make_inputs("likeness_text", signatures["likeness_text"], examples, 3, 4)
    assert inputs["text"].tolist() == [b"eins", b"drei", b"eins"]
    assert inputs["text_pair"].tolist() == [b"zwei", b"vier", b"zwei"]
    mixed = make_inputs("mixed_text", signatures["mixed_text"], examples, 4, 4)
    assert mixed["task"].tolist() == [name.encode() for name in servable["tasks"]]
    assert mixed["text"][2] in (b"eins", b"drei")
    with pytest.raises(UserError, match="'nobody'"):
        default_examples(servable, {"nobody": [("a", "")]})
    with pytest.raises(UserError, match="at least one row"):
        default_examples(servable, {"likeness": []})


def test_the_most_important_signatures_come_first(servable):
    warmup = plan(servable, limit=5)
    write_warmup(servable / "1", warmup.records)
    names = [r.model_spec.signature_name for r in read_warmup(servable / "1")]
    assert names == [
        *("mixed_text", "serving_default"),
        *("sentiment_text", "entails_text", "likeness_text"),
    ]
    assert warmup.left_out == (
        *("questions_text", "sentiment", "entails", "likeness", "questions"),
    )


def test_very_many_tasks_stay_within_the_limit():
    text = TensorInfo("t:0", tf.string, tf.TensorShape([None]))
    tokens = TensorInfo("t:0", tf.int32, tf.TensorShape([None, None]))
    tasks = {f"t{i}": {"kind": "regression", "text_columns": ["x"]} for i in range(600)}
    signatures = {"mixed_text": Signature({"text": text}, {})}
    for name in tasks:
        signatures[name] = Signature({"input_mask": tokens}, {})
        signatures[f"{name}_text"] = Signature({"text": text}, {})
    examples = default_examples({"tasks": tasks, "seq_length": 8})
    warmup = warmup_records(signatures, examples)
    assert len(warmup.records) == 1000 == len(set(warmup.records))
    assert warmup.left_out == tuple(f"t{i}" for i in range(399, 600))


@pytest.mark.parametrize("limit", [0, 1001])
def test_limit(servable, limit):
    with pytest.raises(UserError, match="between 1 and 1000"):
        plan(servable, limit=limit)


def test_an_unknown_input_is_named(saved_servable):
    examples = default_examples(read_servable_json(saved_servable / "1"))
    image = TensorInfo("i:0", tf.float32, tf.TensorShape([None, 3]))
    with pytest.raises(UserError, match="'image'"):
        warmup_records({"x": Signature({"image": image}, {})}, examples)


def test_replay_runs_every_record(servable):
    warmup = plan(servable)
    write_warmup(servable / "1", warmup.records)
    seconds = replay_warmup(servable / "1")
    assert set(seconds) == set(read_signatures(servable / "1"))
    assert all(len(times) == 3 and min(times) > 0 for times in seconds.values())


def test_session_agrees_with_saved_model_load(saved_servable):
    version = saved_servable / "1"
    examples = default_examples(read_servable_json(version))
    loaded = tf.saved_model.load(str(version))
    with ServingSession(version) as session:
        for name, signature in session.signatures.items():
            inputs = make_inputs(name, signature, examples, 5, 9)
            outputs = session.run(name, inputs)
            tensors = {key: tf.constant(value) for key, value in inputs.items()}
            expected = loaded.signatures[name](**tensors)
            assert set(outputs) == set(expected)
            for key, value in expected.items():
                if value.dtype == tf.string:
                    assert outputs[key].tolist() == value.numpy().tolist()
                else:
                    np.testing.assert_allclose(outputs[key], value, atol=1e-5)
        # The server's meaning of no name.
        assert session.run("", inputs)["status"].tolist() == outputs["status"].tolist()
        with pytest.raises(UserError, match="'nope'; it has: entails"):
            session.run("nope", inputs)
        with pytest.raises(UserError, match=r"must be given. Received: \['text'\]"):
            session.run("mixed_text", {"text": inputs["text"]})


def log(name, inputs):
    from tensorflow_serving.apis import prediction_log_pb2

    record = prediction_log_pb2.PredictionLog()
    record.predict_log.request.CopyFrom(predict_request("toy", name, inputs))
    return record.SerializeToString()


TEXT = np.array([b"good"], object)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (("nope", {"text": TEXT}), "signature 'nope'"),
        (("sentiment_text", {"words": TEXT}), r"Received: \['words'\]"),
        (("sentiment_text", {"text": np.ones([1], "float32")}), "signature 'sent"),
        (("entails_text", {"text": TEXT, "text_pair": TEXT[:0]}), "number of rows"),
    ],
)
def test_replay_refuses_a_record_that_does_not_run(servable, record, reason):
    good = log("sentiment_text", {"text": TEXT})
    write_warmup(servable / "1", [good, log(*record)])
    with pytest.raises(UserError, match=reason):
        replay_warmup(servable / "1")


class Outputs(tf.Module):
    """A signature with an output that cannot be batched, or is not finite."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def scalar(self, text):
        return {"n": tf.size(text)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def transposed(self, text):
        return {"n": tf.zeros([3, tf.size(text)])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def infinite(self, text):
        return {"n": 1.0 / tf.zeros([tf.size(text)])}


@pytest.mark.parametrize("name", ["scalar", "transposed", "infinite"])
def test_replay_refuses_outputs_that_cannot_be_served(tmp_path, name):
    module = Outputs()
    tf.saved_model.save(module, str(tmp_path), {name: getattr(module, name)})
    write_warmup(tmp_path, [log(name, {"text": TEXT})])
    with pytest.raises(UserError, match="finite" if name == "infinite" else "'n' of"):
        replay_warmup(tmp_path)


def test_write_warmup_replaces_the_file_whole(servable, monkeypatch):
    record = log("sentiment_text", {"text": TEXT})
    path = write_warmup(servable / "1", [record])
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(warmup_module.os, "replace", full)
        with pytest.raises(UserError, match="No space left"):
            write_warmup(servable / "1", [record, record])
    assert path.read_bytes() == before
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["servable.json", "tf_serving_warmup_requests"]
    with pytest.raises(UserError, match="at most 1000 records"):
        write_warmup(servable / "1", [record] * 1001)


def test_read_warmup_errors(servable):
    version = servable / "1"
    with pytest.raises(UserError, match="which is missing"):
        replay_warmup(version)
    path = write_warmup(version, [log("sentiment_text", {"text": TEXT})])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="TFRecord of PredictionLog"):
        replay_warmup(version)
    write_warmup(version, [b"\xff\xff"])
    with pytest.raises(UserError, match="TFRecord of PredictionLog"):
        replay_warmup(version)
    write_warmup(version, [b""])
    with pytest.raises(UserError, match="must be a predict_log"):
        replay_warmup(version)
    write_warmup(version, [])
    with pytest.raises(UserError, match="1 to 1000 records"):
        replay_warmup(version)


def test_a_directory_that_is_no_version(tmp_path):
    with pytest.raises(UserError, match="holds a saved_model.pb"):
        read_signatures(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(UserError, match="holds a saved_model.pb"):
        read_signatures(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(UserError, match="tagged"):
        read_signatures(tmp_path)
    with pytest.raises(UserError, match="servable.json"):
        read_servable_json(tmp_path)
