"""Our adapters in AdapterHub's format; test_real_library.py loads them there."""

import json

import numpy as np
import pytest
import safetensors.numpy

import adapters_tf
from adapters_tf.convert import convert_from_adapterhub, convert_to_adapterhub
from adapters_tf.convert.adapterhub import check_name, name_of_task
from adapters_tf.convert.adapterhub_config import reduction_factor
from adapters_tf.convert.torch_files import read_torch_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.task import Task

LENGTH = 12
FILES = {
    "adapter_config.json",
    "adapter.safetensors",
    "pytorch_adapter.bin",
    "head_config.json",
    "model_head.safetensors",
    "pytorch_model_head.bin",
}
MOODS = Task("my moods", "classification", ("text",), ("sad", "glad")).to_dict()


@pytest.mark.parametrize(
    "case",
    ["houlsby", "pfeiffer", "one_block", "questions", "two_layers", "topics", "tags"],
)
def test_there_and_back(case, imported, base, fixtures, tmp_path, inputs):
    first = imported(case)
    convert_to_adapterhub(first, tmp_path / "hub", name="renamed")
    assert {p.name for p in (tmp_path / "hub").iterdir()} == FILES
    convert_from_adapterhub(
        tmp_path / "hub", base, tmp_path / "second", seq_length=LENGTH
    )
    one = adapters_tf.load_adapter(first)
    other = adapters_tf.load_adapter(tmp_path / "second")
    assert one.task | {"name": "renamed"} == other.task
    assert (one.adapter, one.head) == (other.adapter, other.head)
    for path, value in one.tensors.items():
        np.testing.assert_array_equal(other.tensors[path], value)
    # What the real library wrote, but for the fields that are as their defaults.
    theirs, ours = (
        json.loads((folder / "adapter_config.json").read_text())
        for folder in (fixtures / case, tmp_path / "hub")
    )
    for field, value in ours["config"].items():
        if case != "one_block" or field != "scaling":
            assert value == pytest.approx(theirs["config"][field], abs=0.3), field
    assert set(ours) == set(theirs)
    theirs, ours = (
        json.loads((folder / "head_config.json").read_text())["config"]
        for folder in (fixtures / case, tmp_path / "hub")
    )
    assert set(ours) == set(theirs)
    for field in ("head_type", "num_labels", "layers"):
        assert ours[field] == theirs[field]


def test_both_files_hold_the_same_tensors_by_the_librarys_names(
    imported, fixtures, tmp_path
):
    convert_to_adapterhub(imported("houlsby"), tmp_path / "hub", name="films")
    for safe, torch in (
        ("adapter.safetensors", "pytorch_adapter.bin"),
        ("model_head.safetensors", "pytorch_model_head.bin"),
    ):
        one = safetensors.numpy.load_file(tmp_path / "hub" / safe)
        other = read_torch_tensors(tmp_path / "hub" / torch)
        theirs = read_torch_tensors(fixtures / "houlsby" / torch)
        assert set(one) == set(other) == set(theirs)
        for name, value in theirs.items():
            np.testing.assert_array_equal(one[name], value)
            np.testing.assert_array_equal(other[name], value)


def test_the_factor_gives_the_size_for_every_size():
    for hidden_dim in (16, 128, 312, 384, 768, 1024):
        for units in range(1, hidden_dim + 1):
            factor = reduction_factor(hidden_dim, units)
            assert max(1, int(hidden_dim // factor)) == units
    # Where the plain quotient already does, it is what the library's users write.
    assert reduction_factor(768, 48) == 16
    # And it does not for all of them.
    assert any(int(768 // (768 / units)) != units for units in range(1, 769))


# What is refused.


def test_layer_norms_of_a_task_are_refused(made, tmp_path):
    _, path = made(
        MOODS, adapters_tf.AdapterConfig(4), {"num_classes": 2}, tuning="adapters"
    )
    with pytest.raises(
        UserError,
        match="no place for LayerNorms of a task.*Received: .* 10 parameters of LayerN"
        ".*train it with tuning=adapters_only",
    ):
        convert_to_adapterhub(path, tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_layer_norms_that_are_the_bases_are_no_hindrance(base, tmp_path):
    head = {"num_classes": 2}
    model = adapters_tf.build_model(
        "classification", base, seq_length=LENGTH, head=head
    )
    adapter = model.get_adapter(preset=base, task=MOODS)
    assert "embeddings_layer_norm/gamma" in adapter.tensors
    adapters_tf.save_adapter(adapter, tmp_path / "a")
    convert_to_adapterhub(tmp_path / "a", tmp_path / "hub")
    hub = safetensors.numpy.load_file(tmp_path / "hub" / "adapter.safetensors")
    assert not any("LayerNorm" in name for name in hub)


@pytest.mark.parametrize(
    ("adapter", "head", "message"),
    [
        ({"depth": 2}, {}, "one bottleneck layer and no LayerNorm.*Received: depth=2"),
        ({"parallel": True}, {}, "are serial, .*Received: parallel=True"),
        ({"layer_norm": True}, {}, "Received: layer_norm=True"),
        ({"activation": "selu"}, {}, "no activation that computes this.*'selu'; it h"),
        ({}, {"head_input": "mean"}, "the first token's vector.*head_input='mean'"),
    ],
)
def test_parts_that_are_refused(adapter, head, message, made, tmp_path):
    head = {"num_classes": 2, **head}
    _, path = made(MOODS, adapters_tf.AdapterConfig(4, **adapter), head)
    with pytest.raises(UserError, match=message):
        convert_to_adapterhub(path, tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_other_tuning_methods_are_refused(base, tmp_path):
    head = {"num_classes": 2}
    model = adapters_tf.build_model(
        "classification", base, tuning="head", seq_length=LENGTH, head=head
    )
    adapters_tf.save_adapter(model.get_adapter(preset=base), tmp_path / "a")
    with pytest.raises(UserError, match="must be adapters_only. Received: tuning=head"):
        convert_to_adapterhub(tmp_path / "a", tmp_path / "hub")


def test_another_base_or_name_is_refused(imported, fixtures, tmp_path):
    out = tmp_path / "hub"
    with pytest.raises(UserError, match="the one that the adapter was trained on"):
        convert_to_adapterhub(imported("houlsby"), out, preset=str(fixtures / "base"))
    with pytest.raises(UserError, match=r"letters, digits, _ and -.*'a\.b'"):
        convert_to_adapterhub(imported("pfeiffer"), out, name="a.b")
    assert not out.exists()


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("train", "train-task"),  # of --train_file=train.csv
        ("to", "to-task"),
        ("_x", "x"),
        ("__dict__", "dict__"),
        ("_type", "type-task"),
        ("_", "task"),
        ("training data", "training-data"),
        ("Train", "Train"),
    ],
)
def test_names_that_torch_has_in_use(task, name):
    lines = []
    assert name_of_task(task, lines.append) == name
    said = [f"Its name there is {name}: torch keeps {task} for itself."]
    assert lines == ([] if task in ("training data", "Train") else said)
    check_name(name)
    if lines:
        rule = f"ModuleDict, where the library.*Received: '{task}'.*such as '{name}'"
        with pytest.raises(UserError, match=rule):
            check_name(task)


def test_the_name_of_a_file_for_training(made, tmp_path):
    train = Task("train", "classification", ("text",), ("sad", "glad")).to_dict()
    _, path = made(train, adapters_tf.AdapterConfig(4), {"num_classes": 2})
    lines = []
    convert_to_adapterhub(path, tmp_path / "hub", say=lines.append)
    assert lines == ["Its name there is train-task: torch keeps train for itself."]
    for file in ("adapter_config.json", "head_config.json"):
        assert json.loads((tmp_path / "hub" / file).read_text())["name"] == "train-task"
    tensors = safetensors.numpy.load_file(tmp_path / "hub" / "model_head.safetensors")
    assert set(tensors) == {"heads.train-task.1.weight", "heads.train-task.1.bias"}
    with pytest.raises(UserError, match="Received: 'eval'; choose another one with na"):
        convert_to_adapterhub(path, tmp_path / "other", name="eval")
    assert not (tmp_path / "other").exists()


def test_an_adapter_that_does_not_say_its_base(made, base, tmp_path):
    about = {"num_classes": 2}
    model, _ = made(MOODS, adapters_tf.AdapterConfig(4), about)
    adapter = model.get_adapter(task=MOODS, preset=None)
    adapters_tf.save_adapter(adapter, tmp_path / "without")
    with pytest.raises(UserError, match="does not say where its base is; give preset"):
        convert_to_adapterhub(tmp_path / "without", tmp_path / "hub")
    convert_to_adapterhub(tmp_path / "without", tmp_path / "hub", preset=base)
    config = json.loads((tmp_path / "hub" / "adapter_config.json").read_text())
    assert config["name"] == "my-moods" and config["model_name"] == base


def test_an_existing_directory_is_not_touched(imported, tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "mine").write_text("x")
    with pytest.raises(UserError, match="must be new or empty"):
        convert_to_adapterhub(imported("houlsby"), tmp_path / "hub")
    assert [p.name for p in (tmp_path / "hub").iterdir()] == ["mine"]
