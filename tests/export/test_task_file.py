"""The file of a live task: its bytes by hand, and what is damaged."""

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export.adapter import read_task
from adapters_tf.export.servable import LoadedBase
from adapters_tf.export.task_file import TaskFile, read_task_bytes, task_bytes
from adapters_tf.export.task_layout import TaskLayout

NAMES = ("topics", "entails", "likeness", "questions", "norms", "fixed", "answers")


@pytest.fixture(scope="module")
def layout(base_dir):
    """The layout of the files."""
    return TaskLayout(LoadedBase(Path(base_dir)).layout)


@pytest.fixture(scope="module")
def read(base_dir):
    """Function: the task of an adapter directory."""
    base = LoadedBase(Path(base_dir))
    return lambda saved: read_task(base, saved.adapter_dir)


@pytest.fixture(scope="module")
def variants(save_task):
    """A deep adapter with a LayerNorm inside, and a head with a hidden layer."""
    config = AdapterConfig(3, depth=3, layer_norm=True, activation="relu")
    return save_task(
        "variants",
        "classification",
        ["x", "y"],
        seed=31,
        adapter=config,
        head={"num_classes": 2, "hidden_layer": True},
    )


@pytest.mark.parametrize("name", [*NAMES, "many", "variants"])
def test_a_task_is_read_as_it_was_written(name, saved_task, request, layout, read):
    """To the bit, its configuration too."""
    saved = saved_task(name) if name in NAMES else request.getfixturevalue(name)
    task = read(saved)
    found = read_task_bytes(task_bytes(task, layout), layout, "t.task")
    assert found.config == task.config
    for own, others in ((found.encoder, task.encoder), (found.head, task.head)):
        assert own.keys() == others.keys()
        for key, value in others.items():
            assert own[key].dtype == value.dtype
            np.testing.assert_array_equal(own[key], value)


def test_the_bytes_are_those_of_the_description(saved_task, layout, read):
    """Every number is found with `struct` and NumPy alone, by the module's table."""
    task = read(saved_task("topics"))
    data = task_bytes(task, layout)
    assert data[:8] == b"ADTASK01"
    fields = struct.unpack("<8q", data[8:72])
    assert list(fields[:4]) == task.encoder["fingerprint"].tolist()
    assert fields[4] == layout.number
    assert fields[5] == len(data)
    about = data[72 : 72 + fields[6]]
    hashed = tf.strings.to_hash_bucket_fast([data[:64] + about], 2**63 - 1)
    assert fields[7] == int(hashed[0])
    features = tf.train.Example.FromString(about).features.feature
    assert features["kind"].bytes_list.value == [b"classification"]
    assert features["seq_length"].int64_list.value == [16]
    assert features["labels"].bytes_list.value == [
        b"news",
        b"sport",
        "späße".encode(),
    ]
    names = [section.name for section in layout.sections]
    lengths = features["lengths"].int64_list.value
    starts = 72 + fields[6] + np.cumsum([0, *lengths])
    where = {n: slice(*starts[i : i + 2]) for i, n in enumerate(names)}
    down = data[where["bottleneck/down_projection/kernel"]]
    paths = [
        path.removesuffix("/down_projection/kernel")
        for path in task.encoder
        if path.endswith("/down_projection/kernel")
    ]
    kernels = [task.encoder[f"{path}/down_projection/kernel"].T for path in paths]
    expected = np.concatenate(kernels).astype("<f4")
    assert down == expected.tobytes()
    assert features["bottleneck/size"].int64_list.value == [4] * len(paths)
    assert data[where["head/bias"]] == task.head["logits/bias"].tobytes()
    assert TaskFile.from_bytes(data, "t").bottleneck_dim == 4
    d = layout.base.hidden_dim
    adapters = len(paths) * (2 * 4 * d + 4 + d)
    norms = 2 * d * len(layout.base.norm_paths)
    assert TaskFile.from_bytes(data, "t").parameters == adapters + norms + 3 * d + 3


def test_damage_is_found_wherever_it_is(saved_task, layout, read):
    """Each changed byte, each missing end and each further byte is refused."""
    data = task_bytes(read(saved_task("topics")), layout)
    random = np.random.default_rng(0)
    places = {*range(72), *random.integers(72, len(data), 300).tolist(), len(data) - 1}
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << int(random.integers(8))
        with pytest.raises(AdapterFileError, match="'t.task' is not the file"):
            read_task_bytes(bytes(changed), layout, "t.task")
    for size in (0, 7, 8, 71, 72, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(AdapterFileError, match="or it is damaged"):
            TaskFile.from_bytes(data[:size], "t.task")
    with pytest.raises(AdapterFileError, match=f"it has {len(data) + 1} of"):
        TaskFile.from_bytes(data + b"\0", "t.task")


def test_a_file_of_another_layout_is_refused(saved_task, layout, read):
    """Bases that differ in a place for adapters have other numbers."""
    base = layout.base
    other = TaskLayout(dataclasses.replace(base, norm_paths=base.norm_paths[:-1]))
    assert other.number != layout.number
    data = task_bytes(read(saved_task("fixed")), layout)
    with pytest.raises(AdapterFileError, match="for another base or for one that"):
        read_task_bytes(data, other, "t.task")


def test_a_base_of_another_version_is_refused(layout):
    """Its graph could not compute all tasks that this version exports."""
    old = dataclasses.replace(layout.base, forms=())
    with pytest.raises(UserError, match="Live tasks need a base .* export the base"):
        TaskLayout(old)
