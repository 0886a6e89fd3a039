"""What a live model knows of its tasks, through switching, loading and saving."""

import dataclasses

import numpy as np
import pytest

import adapters_tf
from adapters_tf import AdapterTextClassifier, AdapterTokenClassifier
from adapters_tf.errors import DataError, UserError
from adapters_tf.models.adapter_file import save_adapter

A = ["the film was good", "a bad plot", "so very fine", "sad actor"]
B = ["it was", "the plot", "a film", "so it was"]
SMALL = adapters_tf.AdapterConfig(bottleneck_dim=2)


def make(tiny_preset, cls=AdapterTextClassifier, **kwargs):
    kwargs = {"num_classes": 2, "adapter": SMALL, "seq_length": 16} | kwargs
    return cls.from_preset(tiny_preset, **kwargs)


def fit(model, x, y):
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)


def test_switching_teaches_a_task_nothing(tiny_preset):
    model = make(tiny_preset)
    model.add_adapter("other", num_classes=2)
    model.active_adapter = "default"
    fit(model, (A, B), ["no", "yes", "no", "yes"])
    task = model.get_adapter().task
    assert task["text_columns"] == ["text", "text_pair"]
    assert task["labels"] == ["no", "yes"]
    model.active_adapter = "other"
    assert model.get_adapter().task["text_columns"] == ["text"]
    assert model.get_adapter().task["labels"] == ["0", "1"]


def test_rows_of_another_form_are_refused(tiny_preset):
    model = make(tiny_preset)
    with pytest.raises(DataError):
        fit(model, A, [0, 1, 7, 0])
    fit(model, (A, B), [0, 1, 0, 1])  # The rows before taught it nothing.
    with pytest.raises(DataError, match="have 2 texts each.*Received: rows of 1"):
        fit(model, A, [0, 1, 0, 1])


def test_an_adapter_without_a_task_brings_no_labels(tiny_preset, tmp_path):
    adapter = dataclasses.replace(make(tiny_preset).get_adapter(), task={})
    save_adapter(adapter, tmp_path / "bare")
    model = make(tiny_preset, labels=["bad", "good"])
    model.load_adapter(tmp_path / "bare", name="bare")
    assert model.get_adapter().task["labels"] == ["0", "1"]
    model.active_adapter = "default"
    assert model.get_adapter().task["labels"] == ["bad", "good"]


def test_the_record_of_a_loaded_task_is_kept_until_it_is_trained(tiny_preset, tmp_path):
    trained = make(tiny_preset).get_adapter()
    task = trained.task | {"name": "cola", "metrics": ["matthews"]}
    record = {"metrics": {"matthews": 0.5}, "training": {"train_file": "rows.csv"}}
    save_adapter(dataclasses.replace(trained, task=task, **record), tmp_path / "cola")
    model = make(tiny_preset)
    model.load_adapter(tmp_path / "cola")
    model.active_adapter = "default"
    assert model.get_adapter().task["metrics"] == ["accuracy", "f1_macro"]
    model.active_adapter = "cola"
    model.save_adapter(tmp_path / "again")
    again = adapters_tf.load_adapter(tmp_path / "again")
    assert again.task["name"] == "cola" and again.task["metrics"] == ["matthews"]
    assert again.metrics == {"matthews": 0.5}
    assert again.training == {"train_file": "rows.csv"}
    fit(model, A, [0, 1, 0, 1])
    retrained = model.get_adapter()
    assert retrained.metrics == {} and retrained.training == {}
    assert retrained.task["metrics"] == ["matthews"]


def test_tags_in_a_tuple_are_sentences(tiny_preset):
    model = make(tiny_preset, AdapterTokenClassifier)
    sentences = [text.split() for text in A]
    tags = tuple([i % 2 for i in range(len(words))] for words in sentences)
    fit(model, sentences, tags)
    found = model.predict(sentences, verbose=0)
    assert [len(row) for row in found] == [len(words) for words in sentences]


def test_predict_reads_the_tables_that_fit_reads(tiny_preset):
    reader = adapters_tf.AdapterQuestionAnswerer.from_preset(
        tiny_preset, adapter=SMALL, seq_length=16
    )
    table = {"question": np.array(["so was it ?"] * 2), "context": np.array(A[:2])}
    columns = (list(table["question"]), list(table["context"]))
    assert reader.predict(columns, verbose=0) == reader.predict(
        tuple(table.values()), verbose=0
    )


def test_arguments_beside_a_backbone_of_ones_own_are_refused(tiny_preset):
    backbone = adapters_tf.load_backbone(tiny_preset, SMALL)
    with pytest.raises(UserError, match="has its adapters and dtype"):
        make(tiny_preset, backbone=backbone, adapter=adapters_tf.AdapterConfig(4))


def test_a_saved_task_has_no_more_positions_than_its_base(tiny_preset, tmp_path):
    make(tiny_preset).save_to_preset(str(tmp_path / "saved"))
    with pytest.raises(UserError, match="seq_length must be at most 32"):
        AdapterTextClassifier.from_preset(str(tmp_path / "saved"), seq_length=64)
