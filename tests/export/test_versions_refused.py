"""Versions of a servable: failures leave nothing behind, what is refused."""

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export import self_check
from adapters_tf.export import servable as servable_module
from adapters_tf.export import versions as versions_module
from adapters_tf.export.adapter import save_adapter_model
from adapters_tf.export.combine import load_exported
from adapters_tf.export.describe import BankFile, read_servable_json, versions_of
from adapters_tf.export.saving import BASE_SHARD, link_tree
from adapters_tf.export.versions import (
    add_task,
    check_name,
    create_servable,
    remove_task,
    roll_back,
)
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.tasks.build import build_model

pytestmark = pytest.mark.slow

TASKS = ("topics", "entails", "likeness", "questions", "norms", "fixed")
BANK = "variables/variables.data-00001-of-00002"


def listing(folder):
    """All there is below a folder, hidden files too."""
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*"))


# === Failures leave nothing behind ===


@pytest.fixture
def copy(servable, tmp_path):
    """A servable of its own to change."""
    path = tmp_path / "servable"
    link_tree(servable, path)
    return path


def test_failed_check_leaves_nothing(copy, many, check_here, monkeypatch):
    """As when the bank is built wrongly."""
    before, build_bank = listing(copy), servable_module.build_bank

    def build_wrong_bank(*args):
        bank = build_bank(*args)
        bank["head/bias"][-1] += 1e-3
        return bank

    monkeypatch.setattr(servable_module, "build_bank", build_wrong_bank)
    with pytest.raises(UserError, match="was not kept: .* probabilities differs by"):
        add_task(copy, "many", many.directory)
    assert listing(copy) == before


def test_crash_of_the_checking_process_leaves_nothing(
    base_dir, saved_tasks, tmp_path, monkeypatch, checks_in_new_process
):
    monkeypatch.setattr(self_check.sys, "executable", shutil.which("false"))
    with pytest.raises(UserError, match="The export was not kept: "):
        create_servable(
            base_dir, {"fixed": saved_tasks["fixed"].directory}, tmp_path / "new"
        )
    assert listing(tmp_path) == []


def test_full_disk_leaves_nothing(copy, many, monkeypatch):
    def save(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    before = listing(copy)
    monkeypatch.setattr(servable_module, "save_with_base_shard", save)
    with pytest.raises(UserError, match="2' could not be written: No space left on d"):
        add_task(copy, "many", many.directory)
    assert listing(copy) == before


# === Two changes at once ===


def test_second_change_waits_for_the_first(copy, many, monkeypatch):
    """It begins while the first one writes, and changes what the first one wrote."""
    write, second = versions_module._write_version, []

    def write_slowly(*args):
        if not second:
            second.append(threading.Thread(target=remove_task, args=(copy, "topics")))
            second[0].start()
        write(*args)

    monkeypatch.setattr(versions_module, "_write_version", write_slowly)
    # In the second thread it would be in a new process.
    monkeypatch.setattr(versions_module, "check_export", lambda *_: None)
    assert add_task(copy, "many", many.directory) == 2
    second[0].join()
    tasks = [*TASKS[1:], "many"]
    assert list(read_servable_json(copy / "3")["tasks"]) == tasks
    assert not (copy / ".lock").exists()


def test_second_change_is_refused_where_there_are_no_locks(copy, many, monkeypatch):
    def open_locked(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    def write_late(base, tasks, changed, directory, own):
        (directory / "mine").touch()
        link_tree(copy / "1", copy / "2")  # Of another process.

    monkeypatch.setattr(versions_module, "open_locked", open_locked)
    monkeypatch.setattr(versions_module, "_write_version", write_late)
    with pytest.raises(UserError, match="2' could not be written: Directory not empty"):
        add_task(copy, "many", many.directory)
    assert listing(copy / "2") == listing(copy / "1")


def damage(path, at=200):
    """Change one byte of a file; its other names keep the old content."""
    data = bytearray(path.read_bytes())
    data[at] ^= 255
    path.unlink()
    path.write_bytes(bytes(data))


def test_damaged_adapter(copy, many, tmp_path):
    shutil.copytree(many.directory, tmp_path / "adapter")
    damage(tmp_path / "adapter/variables/variables.data-00000-of-00001")
    with pytest.raises(UserError, match="adapter' cannot be read as a SavedModel: "):
        add_task(copy, "many", tmp_path / "adapter")
    assert versions_of(copy) == [1]


def test_damaged_or_missing_bank(copy, many):
    damage(copy / "1" / BANK)
    rule = "bank of tasks is missing or corrupt: .*Add the tasks to an earlier version"
    with pytest.raises(UserError, match=rule):
        add_task(copy, "many", many.directory)
    (copy / "1" / BANK).unlink()
    with pytest.raises(UserError, match=rule):
        remove_task(copy, "topics")
    (copy / "1/variables/variables.index").unlink()
    with pytest.raises(UserError, match="variables is missing or corrupt: "):
        remove_task(copy, "topics")
    assert versions_of(copy) == [1]


@pytest.mark.parametrize("file", [BANK, "variables/variables.index"])
def test_truncated_bank(copy, file):
    data = (copy / "1" / file).read_bytes()
    # Behind the bank stands what reading it does not need.
    for size in (0, 1) if file == BANK else (0, 1, len(data) // 2, len(data) - 1):
        (copy / "1" / file).unlink()
        (copy / "1" / file).write_bytes(data[:size])
        with pytest.raises(UserError, match="is missing or corrupt: "):
            BankFile(copy / "1").read_all()


def test_truncated_base(copy):
    for file in ("saved_model.pb", BASE_SHARD, "variables/variables.index"):
        path = copy / "base" / file
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError, match="base' cannot be read as a SavedModel: "):
            load_exported(copy / "base", "base")
        path.write_bytes(data)


def test_damaged_or_missing_base(copy, many):
    rule = "base' are not those of the servable: the file is missing, changed or cor"
    damage(copy / "base" / BASE_SHARD)
    for _ in range(2):
        for change in (
            lambda: add_task(copy, "many", many.directory),
            lambda: remove_task(copy, "topics"),
            lambda: roll_back(copy, 1),
        ):
            with pytest.raises(UserError, match=rule):
                change()
        (copy / "base" / BASE_SHARD).unlink(missing_ok=True)
    assert versions_of(copy) == [1]


def test_base_without_its_preprocessor(copy, many):
    shutil.rmtree(copy / "base/preprocessor")
    rule = "exported preprocessor is a .* write one with adapters-tf-export base"
    with pytest.raises(UserError, match=rule):
        add_task(copy, "many", many.directory)


@pytest.mark.parametrize("file", [BASE_SHARD, BANK])
def test_rolling_back_to_a_damaged_version(copy, file, check_here):
    link_tree(copy / "1", copy / "2")
    damage(copy / "1" / file)
    before = listing(copy)
    with pytest.raises(UserError, match="(?s)was not kept: |is missing or corrupt: "):
        roll_back(copy)
    assert listing(copy) == before


# === servable.json ===


def rewrite(version, text):
    """Replace servable.json; its other names keep the old content."""
    (version / "assets.extra/servable.json").unlink()
    (version / "assets.extra/servable.json").write_bytes(text.encode("latin-1"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "servable.json is missing or corrupt: JSONDecodeError"),
        ("{", "is missing or corrupt: JSONDecodeError"),
        ("\xff", "is missing or corrupt: UnicodeDecodeError"),
        ("null", "is missing or corrupt: TypeError"),
        ('{"format_version": 2}', "format version must be 1. Received: 2 in .*newer"),
        ('{"format_version": 1}', "is missing or corrupt: KeyError.'tasks'"),
        ('{"format_version": 1, "tasks": {}}', "KeyError.'base_shard_sha256'"),
        ('{"format_version": 1, "tasks": []}', "is missing or corrupt: AttributeErr"),
        ('{"format_version": 1, "tasks": {"a": {}}}', "KeyError.'index'"),
        ('{"format_version": 1, "tasks": {"a": {"index": 1}}}', "not numbered from 0"),
    ],
)
def test_servable_json_that_is_not_usable(copy, many, text, rule):
    rewrite(copy / "1", text)
    with pytest.raises(UserError, match=rule):
        add_task(copy, "many", many.directory)
    with pytest.raises(UserError, match=rule):
        remove_task(copy, "topics")
    with pytest.raises(UserError, match=rule):
        roll_back(copy, 1)
    assert versions_of(copy) == [1]


def test_servable_json_of_fewer_tasks_than_the_bank(copy, many):
    about = json.loads((copy / "1/assets.extra/servable.json").read_text())
    del about["tasks"]["fixed"]
    rewrite(copy / "1", json.dumps(about))
    with pytest.raises(UserError, match="Received: 5 tasks, and a bank of 6. Go on fr"):
        add_task(copy, "many", many.directory)


def test_servable_json_in_another_order(copy):
    """Tools that format JSON sort its keys; each task keeps its own tensors."""
    about = json.loads((copy / "1/assets.extra/servable.json").read_text())
    rewrite(copy / "1", json.dumps(about, sort_keys=True))
    assert list(read_servable_json(copy / "1")["tasks"]) == list(TASKS)


# === What is refused ===


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "späße", "a\n", "a/b", "_a"])
def test_names_that_are_no_names(copy, many, base_dir, name, tmp_path):
    rule = "a letter followed by letters, digits and underscores.*Received: "
    with pytest.raises(UserError, match=rule):
        add_task(copy, name, many.directory)
    with pytest.raises(UserError, match=rule):
        create_servable(base_dir, {name: many.directory}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_name_that_is_too_long(copy, many, base_dir, tmp_path):
    rule = "A task's name has at most 100 characters. Received: 'x+', which has 101"
    with pytest.raises(UserError, match=rule):
        add_task(copy, "x" * 101, many.directory)
    with pytest.raises(UserError, match=rule):
        create_servable(base_dir, {"x" * 101: many.directory}, tmp_path / "new")
    check_name("x" * 100, [])


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("mixed", []),
        ("mixed_text", []),
        ("serving_default", []),
        ("a_text", ["b", "a"]),
        ("a", ["a_text"]),
    ],
)
def test_names_whose_signatures_are_taken(name, others, base_dir, many, tmp_path):
    rule = f"name '{name}' stands for the signatures '{name}' and '{name}_text', and"
    with pytest.raises(UserError, match=rule):
        check_name(name, others)
    # The order of the tasks does not matter.
    tasks = dict.fromkeys([*others, name], many.directory)
    with pytest.raises(UserError, match="one of them is taken; choose another name"):
        create_servable(base_dir, tasks, tmp_path / "new")
    assert listing(tmp_path) == []


def test_names_in_the_servable(copy, many):
    has = f"The servable has: {', '.join(TASKS)}$"
    with pytest.raises(UserError, match="'topics_text' stands for the signatures"):
        add_task(copy, "topics_text", many.directory)
    with pytest.raises(UserError, match=f"'topics' is there already; .*{has}"):
        add_task(copy, "topics", many.directory)
    with pytest.raises(UserError, match=f"'many' is not there; leave .*{has}"):
        add_task(copy, "many", many.directory, replace=True)
    with pytest.raises(UserError, match=f"There is no task 'many' to remove. {has}"):
        remove_task(copy, "many")
    assert versions_of(copy) == [1]


def test_last_task_stays(copy):
    about = json.loads((copy / "1/assets.extra/servable.json").read_text())
    about["tasks"] = {"topics": about["tasks"]["topics"]}
    rewrite(copy / "1", json.dumps(about))
    with pytest.raises(UserError, match="'topics' is the only one. Stop serving"):
        remove_task(copy, "topics")


def test_versions_to_roll_back_to(copy):
    with pytest.raises(UserError, match=r"Received: one version only; it has: \[1\]"):
        roll_back(copy)
    for version in (0, 2, -1):
        with pytest.raises(UserError, match=rf"Received: {version}; it has: \[1\]"):
            roll_back(copy, version)
    assert versions_of(copy) == [1]


def test_version_that_is_in_the_way_is_kept(copy, many, monkeypatch):
    """A directory without a SavedModel is no version, but may be someone's."""
    (copy / "2").mkdir()
    (copy / "2" / "notes").touch()
    with pytest.raises(UserError, match="new or empty. Received: .*2', which exists"):
        add_task(copy, "many", many.directory)
    assert os.listdir(copy / "2") == ["notes"]


def test_what_is_no_servable(base_dir, servable, many, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "saved_model.pb").touch()
    with pytest.raises(UserError, match="The servable '.*' has no version"):
        remove_task(tmp_path, "topics")
    for path in (base_dir, servable / "1", tmp_path / "none", many.directory):
        for change in (
            lambda path=path: add_task(path, "many", many.directory),
            lambda path=path: remove_task(path, "many"),
            lambda path=path: roll_back(path),
        ):
            with pytest.raises(UserError, match="A servable is a directory with base/"):
                change()


def test_what_a_servable_cannot_be_made_of(base_dir, servable, many, tmp_path):
    new = tmp_path / "new"
    tasks = {"many": many.directory}
    with pytest.raises(UserError, match="at least one task, unless .* no adapters"):
        create_servable(base_dir, {}, new)
    with pytest.raises(UserError, match="new or empty. Received: .*servable', which e"):
        create_servable(base_dir, tasks, servable)
    with pytest.raises(UserError, match="exported base is a .*nothing', which has"):
        create_servable(tmp_path / "nothing", tasks, new)
    with pytest.raises(UserError, match="an adapter directory, .*nothing', which has"):
        create_servable(base_dir, {"many": str(tmp_path / "nothing")}, new)
    with pytest.raises(UserError, match="is a SavedModel, but no exported base"):
        create_servable(many.directory, tasks, new)
    with pytest.raises(UserError, match="is a SavedModel, but no exported adapter"):
        create_servable(base_dir, {"many": base_dir}, new)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("save", [save_adapter, save_adapter_model])
def test_adapter_of_another_base(copy, other_preset, tmp_path, save):
    model = build_model(
        "regression", other_preset, AdapterConfig(2), seq_length=16, head={}
    )
    adapter = model.get_adapter(task={"labels": [], "text_columns": ["text"]})
    if save is save_adapter:
        save(adapter, tmp_path / "adapter")
    else:
        save(adapter, model, tmp_path / "adapter")
    rule = "The one in '.*adapter' was trained on sha256:.*; this base is sha256:"
    with pytest.raises(AdapterFileError, match=rule):
        add_task(copy, "other", tmp_path / "adapter")
    assert versions_of(copy) == [1]


def test_only_plain_numbers_are_versions(tmp_path):
    for name in ("base", "1", "12", "007", "0", "3x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert versions_of(tmp_path) == [1, 12]
