"""Tasks of a servable, read from adapter directories and from adapter SavedModels."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export.adapter import check_is_task, read_task, task_shapes
from adapters_tf.export.bank import BankLayout
from adapters_tf.export.servable import LoadedBase
from adapters_tf.models.adapter_file import load_adapter, save_adapter

TASKS = ("topics", "entails", "likeness", "questions", "norms", "fixed", "answers")


@pytest.fixture(scope="module")
def loaded_base(base_dir):
    """The base of all tasks."""
    return LoadedBase(Path(base_dir))


@pytest.mark.parametrize("name", TASKS)
def test_both_forms_give_the_same_task(loaded_base, saved_task, name):
    """To the bit, so that a servable does not depend on the form."""
    task = saved_task(name)
    directory = read_task(loaded_base, task.adapter_dir)
    saved_model = read_task(loaded_base, task.directory)
    assert directory.config == saved_model.config
    for part in ("encoder", "head"):
        one, other = (getattr(t, part) for t in (directory, saved_model))
        assert set(one) == set(other)
        for path, value in one.items():
            assert np.asarray(value).dtype == other[path].dtype
            np.testing.assert_array_equal(value, other[path])


@pytest.mark.parametrize("name", TASKS)
def test_shapes_are_those_that_the_model_trains(loaded_base, saved_task, name):
    """A task's tensors are known from the base SavedModel, without the Keras base."""
    task = saved_task(name)
    layout = loaded_base.layout
    assert layout == BankLayout.of_backbone(task.model.backbone)
    expected = {v.path: tuple(v.shape) for v in task.model.trainable_variables}
    assert task_shapes(load_adapter(task.adapter_dir), layout) == expected


NORM = "transformer_layer_1/feedforward_layer_norm/gamma"


def without_norm(adapter):
    tensors = {k: v for k, v in adapter.tensors.items() if k != NORM}
    return dataclasses.replace(adapter, tensors=tensors)


def with_another_tensor(adapter):
    tensors = adapter.tensors | {"pooled_dense/bias": np.zeros(16, np.float32)}
    return dataclasses.replace(adapter, tensors=tensors)


def with_more_units(adapter):
    return dataclasses.replace(adapter, adapter=AdapterConfig(5))


def with_nan(adapter):
    tensors = adapter.tensors | {NORM: np.full(16, np.nan, np.float32)}
    return dataclasses.replace(adapter, tensors=tensors)


def of_a_deeper_base(adapter):
    config = dataclasses.replace(adapter.adapter, layers=(0, 7))
    return dataclasses.replace(adapter, adapter=config)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (without_norm, f"exactly those the model trains. Received: missing: {NORM}"),
        (with_another_tensor, "not known to the model: pooled_dense/bias"),
        (with_more_units, r"kernel has shape \(16, 4\), the model's has \(16, 5\)"),
        (with_nan, f"{NORM} holds NaN or infinity"),
        (of_a_deeper_base, r"indices of encoder blocks, .*layers=\(0, 7\)"),
    ],
)
def test_tensors_of_another_form_are_refused(
    loaded_base, saved_task, tmp_path, change, rule
):
    adapter = change(load_adapter(saved_task("topics").adapter_dir))
    with pytest.raises(AdapterFileError, match=rule):
        save_adapter(adapter, tmp_path / "adapter")
        read_task(loaded_base, tmp_path / "adapter")


def test_what_is_refused_before_a_base_is_loaded(saved_task, tmp_path):
    with pytest.raises(UserError, match="has no adapter_config.json and no saved_mod"):
        check_is_task(tmp_path)
    source = saved_task("topics").adapter_dir
    shutil.copytree(source, tmp_path / "damaged")
    weights = tmp_path / "damaged" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AdapterFileError, match="is corrupt or from another adapter"):
        check_is_task(tmp_path / "damaged")
    adapter = load_adapter(source)
    save_adapter(dataclasses.replace(adapter, task={}), tmp_path / "no_task")
    with pytest.raises(UserError, match="a label, a text, for each class"):
        check_is_task(tmp_path / "no_task")
