"""Adapter SavedModels: what is inside, how large they are, what is refused."""

import dataclasses
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export import adapter as adapter_export
from adapters_tf.export.adapter import export_adapter, save_adapter_model
from adapters_tf.export.base_functions import fingerprint_words
from adapters_tf.models.adapter_file import load_adapter, save_adapter
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.tools import prune_adapter

TASKS = ("topics", "entails", "likeness", "questions", "norms", "fixed", "answers")


@pytest.fixture(scope="module")
def loaded(saved_tasks):
    """Task -> its loaded adapter SavedModel."""
    return {
        name: tf.saved_model.load(task.directory) for name, task in saved_tasks.items()
    }


# === What is inside ===


@pytest.mark.parametrize("name", TASKS)
def test_tensors_are_those_that_were_trained(name, saved_tasks, loaded):
    """Trained tensors to the bit; everything else is empty, or adds nothing."""
    trained = load_adapter(saved_tasks[name].adapter_dir).tensors
    weights = loaded[name].weights() | loaded[name].head_weights()
    assert set(trained) <= set(weights)
    for path, value in trained.items():
        np.testing.assert_array_equal(weights[path], value, path)
        assert np.abs(value).max() > 0.01
    for path in set(weights) - set(trained) - {"activation", "fingerprint"}:
        size = {"up_projection/bias": 16}.get("/".join(path.split("/")[-2:]), 0)
        assert tf.size(weights[path]) == size
        assert not np.any(weights[path])


def test_every_tensor_is_the_same_argument_for_all_tasks(loaded):
    names = {tuple(sorted(adapter.weights())) for adapter in loaded.values()}
    assert len(names) == 1


@pytest.mark.parametrize("name", TASKS)
def test_it_says_what_it_is(name, saved_tasks, loaded):
    task, adapter = saved_tasks[name], loaded[name]
    saved = load_adapter(task.adapter_dir)
    assert adapter.base_fingerprint().numpy().decode() == saved.base_fingerprint
    np.testing.assert_array_equal(
        adapter.weights()["fingerprint"], fingerprint_words(saved.base_fingerprint)
    )
    labels = [label.decode() for label in adapter.labels().numpy().tolist()]
    assert labels == task.task["labels"]
    config = json.loads(adapter.config().numpy())
    assert config["task"] == task.task
    for field in ("kind", "seq_length", "head", "base_fingerprint"):
        assert config[field] == getattr(saved, field)
    assert Tuning.of(config["tuning"]) == saved.tuning
    assert config["format_version"] == 1


@pytest.mark.parametrize("name", TASKS)
def test_variables_for_an_optimizer(name, saved_tasks, loaded):
    trained = load_adapter(saved_tasks[name].adapter_dir).tensors
    variables = list(loaded[name].trainable_variables)
    assert len(variables) == len(trained)
    assert {tuple(v.shape) for v in variables} == {v.shape for v in trained.values()}
    assert len(loaded[name].variables) >= len(variables)
    assert list(loaded[name].regularization_losses) == []


@pytest.mark.parametrize("name", TASKS)
def test_head_is_that_of_the_keras_model(name, saved_tasks, loaded, token_inputs):
    outputs = {
        "sequence_output": np.random.default_rng(0).normal(size=(4, 10, 16)),
        "pooled_output": np.random.default_rng(1).normal(size=(4, 16)),
    }
    outputs = {k: v.astype("float32") for k, v in outputs.items()}
    mask = outputs["input_mask"] = token_inputs(4)["input_mask"]
    kernel, bias = (v.numpy() for v in saved_tasks[name].model.head_variables())
    head = saved_tasks[name].model.head_config().get("head_input")
    features = {
        "cls": outputs["sequence_output"][:, 0],
        "pooled": outputs["pooled_output"],
        "mean": (outputs["sequence_output"] * mask[:, :, None]).sum(1)
        / mask.sum(1, keepdims=True),
        None: outputs["sequence_output"],
    }[head]
    expected = features @ kernel + bias
    if saved_tasks[name].task["kind"] == "regression":
        expected = expected[:, 0]
    got = loaded[name].head(outputs).numpy()
    given = loaded[name].apply_head(outputs, loaded[name].head_weights())
    np.testing.assert_array_equal(got, given)
    if head is None:
        assert (got[mask == 0] == -1e9).all()
        got, expected = got[mask == 1], expected[mask == 1]
    np.testing.assert_allclose(got, expected, 1e-5, 1e-5)


# === Size ===


def _size(directory):
    return sum(
        os.path.getsize(os.path.join(folder, file))
        for folder, _, files in os.walk(directory)
        for file in files
    )


def test_size_is_that_of_the_tensors(saved_tasks):
    """Beside 4 bytes a number there is the graph, the same for every size."""
    more = {}
    for name in TASKS:
        trained = load_adapter(saved_tasks[name].adapter_dir).tensors
        more[name] = _size(saved_tasks[name].directory) - sum(
            value.nbytes for value in trained.values()
        )
    assert 0 < min(more.values()) and max(more.values()) < 200_000
    assert max(more.values()) - min(more.values()) < 30_000


def test_bert_base_with_64_units_is_under_12_megabytes(tmp_path):
    # Sizes that no adapter depends on are small here.
    backbone = BertAdapterBackbone(
        vocabulary_size=10,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=8,
        max_sequence_length=8,
        adapter=AdapterConfig(64),
        fingerprint=f"sha256:{'0' * 64}",
    )
    model = AdapterTextClassifier(backbone, num_classes=2)
    task = {"labels": ["no", "yes"], "text_columns": ["text"]}
    adapter = model.get_adapter(task=task)
    save_adapter_model(adapter, model, tmp_path)
    numbers = 24 * (2 * 768 * 64 + 64 + 768) + 25 * 2 * 768 + 2 * 769
    assert sum(v.size for v in adapter.tensors.values()) == numbers
    assert 4 * numbers < _size(tmp_path) < 12e6
    path = backbone.encoder_blocks[11].path + "/attention_adapter/up_projection/kernel"
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.weights()[path], adapter.tensors[path])


# === Exporting a directory ===


def test_export_is_checked_in_a_new_process(saved_tasks, tmp_path):
    """The whole of it once, as a user calls it."""
    task = saved_tasks["answers"]
    export_adapter(task.adapter_dir, tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == [
        *("assets", "fingerprint.pb", "saved_model.pb", "variables")
    ]
    adapter, other = (
        tf.saved_model.load(str(path)) for path in (tmp_path / "out", task.directory)
    )
    for name, value in adapter.weights().items():
        np.testing.assert_array_equal(value, other.weights()[name])


def test_pruned_adapter(topics, tmp_path, check_here):
    # `check_here` compares it with the model in memory.
    pruned = prune_adapter(topics, [0])
    save_adapter(pruned, tmp_path / "in")
    export_adapter(tmp_path / "in", tmp_path / "out")
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    weights = loaded.weights()
    kernel = "transformer_layer_{}/attention_adapter/down_projection/kernel"
    assert tf.size(weights[kernel.format(0)]) == 0
    np.testing.assert_array_equal(
        weights[kernel.format(1)], topics.tensors[kernel.format(1)]
    )


@pytest.mark.parametrize("part", ["encoder", "head"])
def test_export_that_differs_is_not_kept(
    part, saved_tasks, tmp_path, check_here, monkeypatch
):
    def save(adapter, model, directory):
        path = max(
            p for p in adapter.tensors if p.startswith("logits") == (part == "head")
        )
        value = adapter.tensors[path] + np.float32(1e-4)
        adapter = dataclasses.replace(adapter, tensors=adapter.tensors | {path: value})
        save_adapter_model(adapter, model, directory)

    monkeypatch.setattr(adapter_export, "save_adapter_model", save)
    with pytest.raises(
        UserError, match="was not kept: .* differs by .*e-04, over 1e-05"
    ):
        export_adapter(saved_tasks["topics"].adapter_dir, tmp_path / "out")
    assert os.listdir(tmp_path) == []


@pytest.fixture(scope="module")
def topics(saved_tasks):
    """The saved adapter of a task, in memory."""
    return load_adapter(saved_tasks["topics"].adapter_dir)


def test_activation_that_is_refused(topics, tmp_path):
    config = AdapterConfig(4, activation="exponential")
    save_adapter(dataclasses.replace(topics, adapter=config), tmp_path / "in")
    with pytest.raises(UserError, match="must be one of .* Received: 'exponential'"):
        export_adapter(tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("tuning", [Tuning("full"), Tuning("top_n", 1)])
def test_methods_that_change_the_base_are_refused(topics, tmp_path, tuning):
    adapter = dataclasses.replace(topics, adapter=None, tuning=tuning)
    save_adapter(adapter, tmp_path / "in")
    rule = (
        "must be one of adapters, adapters_only, layer_norm, head. Received: "
        f"tuning={tuning.method}, which changes the base; export such a model whole"
    )
    with pytest.raises(UserError, match=rule):
        export_adapter(tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        ({}, r"a head of 3 classes and labels=\[\]; save the adapter with its task"),
        ({"labels": list("abc")}, r"one or more text columns. Received: .*=\[\]"),
    ],
)
def test_tasks_whose_outputs_have_no_names_are_refused(topics, tmp_path, task, rule):
    save_adapter(dataclasses.replace(topics, task=task), tmp_path / "in")
    with pytest.raises(UserError, match=rule):
        export_adapter(tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path) == ["in"]


def test_scores_have_no_labels(saved_tasks, tmp_path):
    adapter = load_adapter(saved_tasks["fixed"].adapter_dir)
    task = adapter.task | {"labels": ["low", "high"]}
    save_adapter(dataclasses.replace(adapter, task=task), tmp_path / "in")
    with pytest.raises(UserError, match="a head of 0 classes and labels="):
        export_adapter(tmp_path / "in", tmp_path / "out")


def test_base_that_is_not_the_adapters(topics, saved_tasks, other_preset, tmp_path):
    directory = saved_tasks["topics"].adapter_dir
    with pytest.raises(AdapterFileError, match="works only on the base it was trained"):
        export_adapter(directory, tmp_path / "out", preset=other_preset)
    with pytest.raises(UserError, match="'nowhere/at_all' could not be loaded"):
        export_adapter(directory, tmp_path / "out", preset="nowhere/at_all")
    save_adapter(dataclasses.replace(topics, preset=None), tmp_path / "in")
    with pytest.raises(UserError, match="not say where its base .* pass preset"):
        export_adapter(tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path) == ["in"]


def test_what_is_no_adapter_directory(base_dir, saved_tasks, tmp_path):
    with pytest.raises(AdapterFileError, match="which has no adapter_config.json"):
        export_adapter(base_dir, tmp_path / "out")
    with pytest.raises(UserError, match="must be new or empty. Received: "):
        export_adapter(saved_tasks["topics"].adapter_dir, base_dir)
    assert os.listdir(tmp_path) == []
