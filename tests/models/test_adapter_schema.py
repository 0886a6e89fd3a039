"""What the fields of an adapter may hold, in files and in Python."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_file import check_fields, load_adapter, save_adapter
from adapters_tf.models.trainable_set import Tuning

ADAPTER = Adapter(
    tensors={"logits/bias": np.zeros(2, np.float32)},
    kind="classification",
    adapter=AdapterConfig(4),
    tuning=Tuning("adapters"),
    head={"num_classes": 2, "head_input": "cls", "dropout": 0.1},
    base_fingerprint="sha256:00",
    task={
        "name": "sst2",
        "kind": "classification",
        "text_columns": ["text"],
        "labels": ["negative", "positive"],
        "metrics": ["accuracy"],
    },
    metrics={"accuracy": 0.5},
    preset="bert_tiny_en_uncased",
    seq_length=64,
    training={"learning_rate": 1e-3},
    versions={"tokenizers": "1.2.3"},
)
WRONG = [
    ("kind", None, "kind must be a text, the name of a kind of task. Received: null"),
    ("kind", "", 'the name of a kind of task. Received: "" in'),
    ("adapter", [], "adapter must be an object, or null for none. Received: []"),
    ("adapter", 3, "adapter must be an object, or null for none. Received: 3"),
    ("adapter", {"layers": ["a"]}, "must be None or a tuple of whole numbers"),
    ("adapter", {"layers": 3}, "must be None or a tuple of whole numbers"),
    ("adapter", {"zero_init": "no"}, "zero_init must be true or false"),
    ("adapter", {"dropout": "a"}, "is not usable"),
    ("adapter", {"sublayers": None}, "is not usable"),
    ("adapter", {"activation": []}, "is not usable"),
    ("adapter", {"method": []}, "is not usable"),
    ("tuning", None, "tuning must be an object. Received: null"),
    ("tuning", "adapters", 'tuning must be an object. Received: "adapters"'),
    ("tuning", {"method": ["a"]}, "tuning.method must be a text"),
    ("tuning", {"method": "top_n", "top_n": "2"}, "tuning.top_n must be a whole numb"),
    ("head", None, "head must be an object. Received: null"),
    ("head", {"num_classes": 0}, "head.num_classes must be a whole number from 1"),
    ("head", {"num_classes": 2.0}, "head.num_classes must be a whole number from 1"),
    ("head", {"num_classes": True}, "head.num_classes must be a whole number from 1"),
    ("head", {"dropout": 1}, "head.dropout must be a number from 0 to below 1"),
    ("head", {"dropout": float("nan")}, "from 0 to below 1. Received: nan"),
    ("head", {"hidden_layer": 1}, "head.hidden_layer must be true or false"),
    ("head", {"num_classes": 3}, "name each of the head's 3 classes, or be empty. "),
    ("base_fingerprint", 3, "base_fingerprint must be a text, or null"),
    ("task", [], "task must be an object. Received: []"),
    ("task", {"labels": None}, "task.labels must be a list of texts that differ"),
    ("task", {"labels": "ab"}, "task.labels must be a list of texts that differ"),
    ("task", {"labels": ["a", "a"]}, "task.labels must be a list of texts that diff"),
    ("task", {"labels": [0, 1]}, "task.labels must be a list of texts that differ"),
    ("task", {"labels": ["a", "\ud800"]}, "task.labels must be a list of texts that"),
    ("task", {"labels": ["a"]}, "each of the head's 2 classes, or be empty. Received"),
    ("task", {"text_columns": [1]}, "task.text_columns must be a list of texts, name"),
    ("task", {"text_columns": "text"}, "task.text_columns must be a list of texts"),
    ("task", {"name": None}, "task.name must be a text. Received: null"),
    ("task", {"kind": "regression"}, "kind, 'classification'. Received: \"regression"),
    ("metrics", {"accuracy": "high"}, "metrics must be an object of numbers"),
    ("metrics", None, "metrics must be an object of numbers. Received: null"),
    ("preset", 3, "preset must be a text, or null. Received: 3"),
    ("preset", "", 'preset must be a text, or null. Received: ""'),
    ("seq_length", 0, "seq_length must be a whole number from 1. Received: 0"),
    ("seq_length", -1, "seq_length must be a whole number from 1. Received: -1"),
    ("seq_length", 64.0, "seq_length must be a whole number from 1. Received: 64.0"),
    ("seq_length", "64", 'seq_length must be a whole number from 1. Received: "64"'),
    ("seq_length", 10**20, "seq_length must be a whole number from 1"),
    ("training", [], "training must be an object. Received: []"),
    ("versions", {"keras": 3}, "versions must be an object of texts"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "adapter"
    save_adapter(ADAPTER, path)
    return path, (path / "adapter_config.json").read_text()


@pytest.mark.parametrize(("field", "value", "rule"), WRONG)
def test_file_with_a_wrong_field_is_refused(saved, field, value, rule):
    path, text = saved
    (path / "adapter_config.json").write_text(
        json.dumps(json.loads(text) | {field: value})
    )
    with pytest.raises(AdapterFileError) as raised:
        load_adapter(path)
    assert rule in str(raised.value)
    assert str(path) in str(raised.value) and len(str(raised.value)) < 500


@pytest.mark.parametrize("field", ["seq_length", "task", "head", "metrics"])
def test_wrong_fields_are_refused_in_python_too(field, tmp_path):
    for name, value, rule in WRONG:
        if name == field:
            with pytest.raises(AdapterFileError) as raised:
                save_adapter(
                    dataclasses.replace(ADAPTER, **{name: value}), tmp_path / "a"
                )
            assert rule in str(raised.value) and "adapter to save" in str(raised.value)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (np.array([0, np.nan], np.float32), "logits/bias holds NaN or infinity, in "),
        (np.array([0, np.inf], np.float32), "logits/bias holds NaN or infinity, in "),
        (np.zeros(2, np.int32), "must be float32. Received: logits/bias of int32"),
    ],
)
def test_tensors_of_other_values_are_refused(saved, tmp_path, values, rule):
    path, text = saved
    changed = dataclasses.replace(ADAPTER, tensors={"logits/bias": values})
    with pytest.raises(AdapterFileError, match=rule):
        save_adapter(changed, tmp_path / "a")
    save_adapter(ADAPTER, tmp_path / "b")
    weights = safetensors.numpy.save(changed.tensors)
    (tmp_path / "b" / "adapter.safetensors").write_bytes(weights)
    config = json.loads(text) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    (tmp_path / "b" / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(AdapterFileError, match=rule):
        load_adapter(tmp_path / "b")


def test_empty_object_stands_for_the_default_adapters(saved):
    path, text = saved
    (path / "adapter_config.json").write_text(
        json.dumps(json.loads(text) | {"adapter": {}})
    )
    assert load_adapter(path).adapter == AdapterConfig()


def test_deep_json_is_corrupt(saved):
    path, _ = saved
    (path / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(AdapterFileError, match="is corrupt: too many brackets"):
        load_adapter(path)


def test_what_models_save_is_right():
    fields = ADAPTER.to_dict()
    check_fields(fields, "x")
    # A model that was not fitted knows no columns and labels yet.
    check_fields(fields | {"task": {"text_columns": [], "labels": []}}, "x")
    check_fields(fields | {"task": {}, "head": {}, "preset": None}, "x")
    check_fields(fields | {"metrics": {"f1": float("nan"), "rows": 3}}, "x")
