"""The adapter directory: what is written, and every way it can be wrong."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_file import load_adapter, save_adapter
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.classification import AdapterTextClassifier

ADAPTER = Adapter(
    tensors={
        "logits/kernel": np.arange(6, dtype=np.float32).reshape(3, 2),
        "logits/bias": np.zeros(2, np.float32),
    },
    kind="classification",
    adapter=AdapterConfig(4, layers=(1,)),
    tuning=Tuning("adapters"),
    head={"num_classes": 2, "head_input": "cls", "dropout": 0.1},
    base_fingerprint="sha256:00",
    task={"name": "sst2", "labels": ["negative", "positive"]},
    metrics={"accuracy": 0.5},
    preset="bert_tiny_en_uncased",
    seq_length=64,
    training={"learning_rate": 1e-3, "seed": 3},
    versions={"tokenizers": "1.2.3"},
)


def assert_equal(one, other, leave_out=("versions",)):
    for field in dataclasses.fields(Adapter):
        if field.name not in (*leave_out, "tensors"):
            assert getattr(one, field.name) == getattr(other, field.name)
    assert set(one.tensors) == set(other.tensors)
    for path, value in one.tensors.items():
        assert value.dtype == other.tensors[path].dtype
        np.testing.assert_array_equal(value, other.tensors[path])


@pytest.fixture
def saved(tmp_path):
    save_adapter(ADAPTER, tmp_path / "adapter")
    return tmp_path / "adapter"


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def edit_config(directory, **fields):
    """Change fields of the JSON; `None` removes one."""
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def write_tensors(directory, data):
    """Replace the tensors' file and keep the hash in step."""
    (directory / "adapter.safetensors").write_bytes(data)
    edit_config(directory, weights_sha256=hashlib.sha256(data).hexdigest())


def test_round_trip(saved):
    read = load_adapter(saved)
    assert_equal(read, ADAPTER)
    assert read.versions["tokenizers"] == "1.2.3"
    libraries = {"adapters-tf", "tensorflow", "keras", "keras-hub"}
    assert libraries < set(read.versions)
    assert_equal(load_adapter(str(saved)), ADAPTER)


def test_round_trip_of_a_baseline(tmp_path):
    baseline = dataclasses.replace(ADAPTER, adapter=None, tuning=Tuning("top_n", 2))
    save_adapter(baseline, tmp_path / "a")
    assert_equal(load_adapter(tmp_path / "a"), baseline)


def test_what_is_in_the_directory(saved):
    assert sorted(contents(saved)) == [
        "README.md",
        "adapter.safetensors",
        "adapter_config.json",
    ]
    config = json.loads((saved / "adapter_config.json").read_text())
    assert config["format_version"] == 1
    # A base of another class than BERT's is named too.
    fields = {f.name for f in dataclasses.fields(Adapter)} - {"tensors", "backbone"}
    assert set(config) == fields | {"format_version", "weights_sha256"}
    tensors = safetensors.numpy.load_file(saved / "adapter.safetensors")
    assert set(tensors) == set(ADAPTER.tensors)
    assert os.listdir(saved.parent) == ["adapter"]  # no temporary directory
    assert saved.stat().st_mode & 0o777 == 0o755


def test_saving_is_deterministic(saved, tmp_path):
    save_adapter(load_adapter(saved), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(saved)


def test_transposed_and_strided_tensors(tmp_path):
    kernel = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensors = {"a": kernel.T, "b": kernel[:, ::2]}
    strided = dataclasses.replace(ADAPTER, tensors=tensors)
    save_adapter(strided, tmp_path / "a")
    assert_equal(load_adapter(tmp_path / "a"), strided)


def test_parents_are_made(tmp_path):
    save_adapter(ADAPTER, tmp_path / "a" / "b" / "c")
    assert_equal(load_adapter(tmp_path / "a" / "b" / "c"), ADAPTER)


# Saving where something is.


def test_existing_target(saved):
    before = contents(saved)
    with pytest.raises(AdapterFileError, match="which exists; .* overwrite=True"):
        save_adapter(ADAPTER, saved)
    assert contents(saved) == before


def test_overwrite(saved):
    other = dataclasses.replace(ADAPTER, seq_length=32)
    save_adapter(other, saved, overwrite=True)
    assert load_adapter(saved).seq_length == 32
    assert os.listdir(saved.parent) == ["adapter"]


def test_overwrite_of_an_empty_directory(tmp_path):
    (tmp_path / "a").mkdir()
    save_adapter(ADAPTER, tmp_path / "a", overwrite=True)
    assert_equal(load_adapter(tmp_path / "a"), ADAPTER)


def test_overwrite_spares_what_is_no_adapter(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    # AdapterHub's directories, with and without a head, have files of these names.
    (tmp_path / "hub").mkdir()
    for name in ("adapter_config.json", "adapter.safetensors"):
        (tmp_path / "hub" / name).write_text("{}")
    for name in ("home", "file", "hub"):
        with pytest.raises(AdapterFileError, match=f"{name}', which is none;"):
            save_adapter(ADAPTER, tmp_path / name, overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "x"
    assert (tmp_path / "file").read_text() == "x"
    assert (tmp_path / "hub" / "adapter.safetensors").read_text() == "{}"


def test_overwrite_keeps_other_files(saved):
    (saved / "notes.txt").write_text("mine")
    (saved / ".ipynb_checkpoints").mkdir()
    (saved / "README.md").write_text("an old card")
    other = dataclasses.replace(ADAPTER, seq_length=32)
    save_adapter(other, saved, overwrite=True)
    assert load_adapter(saved).seq_length == 32
    assert (saved / "notes.txt").read_text() == "mine"
    assert (saved / ".ipynb_checkpoints").is_dir()
    assert "an old card" not in (saved / "README.md").read_text()
    assert os.listdir(saved.parent) == ["adapter"]


# Saving where it cannot be done.


@pytest.fixture
def full_disk(monkeypatch):
    """The disk fills up when the data is forced out."""

    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


def test_full_disk(full_disk, tmp_path):
    with pytest.raises(AdapterFileError, match="written to .*a': No space left on dev"):
        save_adapter(ADAPTER, tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_full_disk_spares_the_adapter_that_is_there(saved, full_disk):
    before = contents(saved)
    with pytest.raises(AdapterFileError, match="No space left on device"):
        save_adapter(ADAPTER, saved, overwrite=True)
    assert contents(saved) == before
    assert os.listdir(saved.parent) == ["adapter"]


def test_read_only_disk(monkeypatch, tmp_path):
    def mkdtemp(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    with pytest.raises(
        AdapterFileError, match="written to .*a': Read-only file system"
    ):
        save_adapter(ADAPTER, tmp_path / "a")


def test_parent_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(AdapterFileError, match="could not be written .*file/a'"):
        save_adapter(ADAPTER, tmp_path / "file" / "a")


@pytest.mark.parametrize("failures", [1, 2])
def test_failing_move_never_loses_the_adapter_that_is_there(
    saved, monkeypatch, failures
):
    """The new directory cannot be moved in, then also the old one not back."""
    before, rename, failed = contents(saved), Path.rename, []

    def failing_rename(self, target):
        if Path(target) == saved and len(failed) < failures:
            failed.append(target)
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing_rename)
    with pytest.raises(AdapterFileError, match="Input/output error"):
        save_adapter(ADAPTER, saved, overwrite=True)
    assert len(failed) == failures
    if failures == 1:
        assert contents(saved) == before
        assert os.listdir(saved.parent) == ["adapter"]
    else:
        (kept,) = saved.parent.glob(".adapter.old.*/adapter")
        assert contents(kept) == before


# Reading what is not right.


def test_missing_directory(tmp_path):
    with pytest.raises(AdapterFileError, match="nowhere', which is not a directory"):
        load_adapter(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter.safetensors"])
def test_missing_file(saved, name):
    (saved / name).unlink()
    with pytest.raises(AdapterFileError, match=f"which has no {name}"):
        load_adapter(saved)


def test_unreadable_file(saved, monkeypatch):
    def read_bytes(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(AdapterFileError, match="could not be read: Permission denied"):
        load_adapter(saved)


@pytest.mark.parametrize("data", [b"", b'{"format_version": 1', b"\xff\xfe\x00"])
def test_corrupt_json(saved, data):
    (saved / "adapter_config.json").write_bytes(data)
    with pytest.raises(AdapterFileError, match="adapter_config.json is corrupt: "):
        load_adapter(saved)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_unknown_format_version(saved, version):
    edit_config(saved, format_version=version)
    message = f"format version must be 1. Received: {version} in .*adapter_config.json"
    with pytest.raises(AdapterFileError, match=message):
        load_adapter(saved)


def test_json_of_something_else(saved):
    (saved / "adapter_config.json").write_text("[]")
    with pytest.raises(AdapterFileError, match="must be 1. Received: None"):
        load_adapter(saved)


def test_missing_and_unknown_fields(saved):
    edit_config(saved, kind=None, colour="red")
    message = r"Missing: \['kind'\]; unknown: \['colour'\]"
    with pytest.raises(AdapterFileError, match=message):
        load_adapter(saved)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"tuning": {"method": "adapter", "top_n": None}}, "tuning must be one of"),
        ({"tuning": {"colour": "red"}}, "is not usable: .*colour"),
        ({"adapter": {"bottleneck_dim": -1}}, "is not usable: .*bottleneck_dim=-1"),
        ({"adapter": {"bottelneck_dim": 8}}, r"field\(s\): \['bottelneck_dim'\]"),
    ],
)
def test_bad_fields(saved, fields, message):
    edit_config(saved, **fields)
    with pytest.raises(AdapterFileError, match=message):
        load_adapter(saved)


def test_hash_mismatch(saved):
    path = saved / "adapter.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    message = "adapter.safetensors is corrupt or from another adapter: its SHA-256"
    with pytest.raises(AdapterFileError, match=message):
        load_adapter(saved)


def test_truncated_tensors(saved):
    data = (saved / "adapter.safetensors").read_bytes()
    (saved / "adapter.safetensors").write_bytes(data[:-4])
    with pytest.raises(AdapterFileError, match="corrupt or from another adapter"):
        load_adapter(saved)
    write_tensors(saved, data[:-4])  # also where the hash was made to fit
    with pytest.raises(AdapterFileError, match="is not usable: .*"):
        load_adapter(saved)


def test_tensors_that_are_none(saved):
    write_tensors(saved, b"PK\x03\x04 something else")
    with pytest.raises(AdapterFileError, match="is not usable: "):
        load_adapter(saved)


# A whole model through a file.


def test_model_through_a_file_and_a_new_process(
    saved_preset, inputs, randomize, run_python, tmp_path
):
    from adapters_tf.tasks.build import build_model, load_model

    model = build_model(
        "classification",
        saved_preset,
        AdapterConfig(4),
        seq_length=12,
        head={"num_classes": 3, "head_input": "mean"},
    )
    for layer in (model.get_layer("logits"), *model.backbone.encoder_blocks):
        for variable in layer.weights:
            if variable.trainable:
                variable.assign(np.random.default_rng(1).normal(0, 0.3, variable.shape))
    adapter = model.get_adapter(preset=saved_preset, seq_length=12)
    save_adapter(adapter, tmp_path / "adapter")
    model.save(tmp_path / "model.keras")
    x = inputs()
    np.savez(tmp_path / "x.npz", **x)
    here = load_model(tmp_path / "adapter")
    assert type(here) is AdapterTextClassifier
    np.testing.assert_array_equal(here(x), model(x))
    run_python(NEW_PROCESS, tmp_path)
    for name in ("adapter", "keras"):
        there = np.load(tmp_path / f"{name}_output.npy")
        np.testing.assert_allclose(there, model(x), rtol=1e-6, atol=1e-6)
    trained = json.loads((tmp_path / "trained.json").read_text())
    paths = [v.path for v in model.trainable_variables]
    assert trained == {"adapter": paths, "keras": paths}


NEW_PROCESS = """
import json, pathlib, sys
import keras, numpy as np
from adapters_tf.tasks.build import load_model

directory = pathlib.Path(sys.argv[1])
x = dict(np.load(directory / "x.npz"))
models = {
    "adapter": load_model(directory / "adapter"),
    "keras": keras.saving.load_model(directory / "model.keras"),
}
for name, model in models.items():
    np.save(directory / f"{name}_output.npy", model(x))
paths = {k: [v.path for v in m.trainable_variables] for k, m in models.items()}
(directory / "trained.json").write_text(json.dumps(paths))
"""


def test_a_copied_directory_works(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    assert_equal(load_adapter(tmp_path / "copy"), ADAPTER)
