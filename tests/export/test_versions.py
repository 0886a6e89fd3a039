"""Versions of a servable: what they share, what changes, what is refused."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export import self_check, versions
from adapters_tf.export import servable as servable_module
from adapters_tf.export.adapter import save_adapter_model
from adapters_tf.export.deployment.session import ServingSession
from adapters_tf.export.deployment.warmup import read_warmup
from adapters_tf.export.directories import link_tree
from adapters_tf.export.saving import BASE_SHARD
from adapters_tf.export.versions import (
    add_task,
    check_name,
    create_servable,
    read_about,
    remove_task,
    roll_back,
    versions_of,
)
from adapters_tf.layers import AdapterConfig
from adapters_tf.models.build import build_model

TASKS = ("topics", "entails", "likeness", "questions", "norms", "fixed")
TEXTS = ["the film was good", "a sad plot .", "", "so it was very very fine"] * 3
PAIRS = ["it was a good film and it was awful", "the actor was so bad ."] * 6
BANK = "variables/variables.data-00001-of-00002"


def strings(texts):
    """Texts as an array of UTF-8."""
    return np.array([text.encode() for text in texts], object)


def mixed(run, names, count=12):
    """`mixed_text` for rows of these tasks, in turns."""
    task = strings([names[i % len(names)] for i in range(count)])
    inputs = {"text": strings(TEXTS[:count]), "text_pair": strings(PAIRS[:count])}
    return run("mixed_text", {**inputs, "task": task})


def own(run, name):
    """The outputs of a task's own signature on texts."""
    inputs = {"text": strings(TEXTS), "text_pair": strings(PAIRS)}
    if name in ("topics", "norms", "fixed", "many"):
        del inputs["text_pair"]
    return run(f"{name}_text", inputs)


def assert_same_bits(got, expected):
    """Equal; where there are more or fewer classes, up to the padding."""
    assert set(got) == set(expected)
    for name, value in expected.items():
        if value.ndim == 2:
            width = min(value.shape[1], got[name].shape[1])
            for array in (value, got[name]):
                assert not np.any(array[:, width:])
            np.testing.assert_array_equal(got[name][:, :width], value[:, :width])
        else:
            np.testing.assert_array_equal(got[name], value)


def listing(folder):
    """All there is below a folder, hidden files too."""
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*"))


# === A history of versions ===


@pytest.fixture(scope="module")
def many(save_task):
    """A task with more classes and units than all others."""
    config = AdapterConfig(13, activation="elu")
    labels = [f"class {i}" for i in range(11)]
    head = {"num_classes": 11, "head_input": "pooled"}
    return save_task(
        "many", "classification", labels, seed=21, adapter=config, head=head
    )


@pytest.fixture(scope="module")
def new_topics(save_task):
    """Another adapter for the task `topics`."""
    return save_task(
        "topics",
        "classification",
        ["up", "down"],
        folder="new_topics",
        seed=22,
        adapter=AdapterConfig(5, activation="relu"),
        head={"num_classes": 2},
    )


@pytest.fixture(scope="module")
def history(servable, many, new_topics, tmp_path_factory):
    """Five versions: the first, added, replaced, removed, and back to the first."""
    path = tmp_path_factory.mktemp("history") / "servable"
    link_tree(servable, path)
    with pytest.MonkeyPatch.context() as patch:
        # It takes seconds, and has tests of its own below.
        patch.setattr(versions, "check_in_new_process", lambda *args: None)
        assert add_task(path, "many", many.directory) == 2
        assert add_task(path, "topics", new_topics.directory, replace=True) == 3
        assert remove_task(path, "questions") == 4
        assert roll_back(path, 1) == 5
    return path


@pytest.fixture(scope="module")
def runs(history):
    """Version -> function that runs its signatures."""
    sessions = {v: ServingSession(history / str(v)) for v in (1, 2, 3, 4)}
    yield {v: session.run for v, session in sessions.items()}
    for session in sessions.values():
        session.close()


def test_versions_and_their_tasks(history):
    assert versions_of(history) == [1, 2, 3, 4, 5]
    tasks = {v: list(read_about(history / str(v))["tasks"]) for v in range(1, 6)}
    assert tasks[1] == tasks[5] == list(TASKS)
    assert tasks[2] == tasks[3] == [*TASKS, "many"]
    assert tasks[4] == [name for name in tasks[3] if name != "questions"]
    # No file of the work is left, hidden or not.
    assert sorted(os.listdir(history)) == [*"12345", "base"]


def test_base_is_one_file_for_all_versions(history, base_dir, servable):
    shard = Path(base_dir, BASE_SHARD)
    for directory in ("base", *"12345"):
        assert (history / directory / BASE_SHARD).samefile(shard)
    for version in "234":
        assert not (history / version / BANK).samefile(history / "1" / BANK)


def test_rolling_back_gives_the_files_of_the_version(history):
    assert listing(history / "5") == listing(history / "1")
    for file in listing(history / "1"):
        if (history / "1" / file).is_file():
            assert (history / "5" / file).samefile(history / "1" / file)


def test_adding_a_task_changes_no_bit_of_the_others(runs):
    for count in (1, 2, 5, 12):
        assert_same_bits(mixed(runs[2], TASKS, count), mixed(runs[1], TASKS, count))
    for name in ("topics", "likeness", "questions"):
        assert_same_bits(own(runs[2], name), own(runs[1], name))


def test_replacing_a_task_changes_no_bit_of_the_others(runs):
    others = [name for name in TASKS if name != "topics"] + ["many"]
    assert_same_bits(mixed(runs[3], others), mixed(runs[2], others))
    for name in ("many", "entails"):
        assert_same_bits(own(runs[3], name), own(runs[2], name))


def test_removing_a_task_changes_no_bit_of_the_others(runs):
    others = [name for name in TASKS if name != "questions"] + ["many"]
    assert_same_bits(mixed(runs[4], others), mixed(runs[3], others))
    for name in ("fixed", "many"):
        assert_same_bits(own(runs[4], name), own(runs[3], name))


@pytest.mark.parametrize(("version", "name"), [(2, "many"), (3, "topics")])
def test_added_and_replaced_tasks_are_their_models(
    version, name, runs, many, new_topics
):
    task = many if name == "many" else new_topics
    logits = task.model.predict(tf.constant(strings(TEXTS)), verbose=0)
    labels = [task.task["labels"][i].encode() for i in np.argmax(logits, axis=1)]
    for outputs in (own(runs[version], name), mixed(runs[version], [name])):
        width = logits.shape[1]
        np.testing.assert_allclose(
            outputs["probabilities"][:, :width], tf.nn.softmax(logits), 1e-5, 1e-5
        )
        assert outputs["label"].tolist() == labels
    # Version 1 knows neither this name nor this adapter.
    before = mixed(runs[1], [name])
    assert before["label"].tolist() != labels


def test_removed_task_is_unknown(runs):
    assert set(mixed(runs[3], ["questions"])["status"]) == {b"ok"}
    assert set(mixed(runs[4], ["questions"])["status"]) == {b"unknown task"}
    with pytest.raises(UserError, match="names a signature .*'questions_text'"):
        own(runs[4], "questions")


# === Without signatures of the tasks' own ===


@pytest.fixture(scope="module")
def mixed_only(base_dir, saved_tasks, many, tmp_path_factory):
    path = tmp_path_factory.mktemp("mixed_only") / "servable"
    tasks = {name: saved_tasks[name].directory for name in TASKS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "check_in_new_process", lambda *args: None)
        create_servable(base_dir, tasks, path, task_signatures=False)
        add_task(path, "many", many.directory)
    return path


def test_mixed_only_has_one_signature_in_all_versions(mixed_only, history):
    for version in (1, 2):
        directory = mixed_only / str(version)
        with ServingSession(directory) as session:
            assert set(session.signatures) == {"mixed_text", "serving_default"}
        # Requests of three sizes for both.
        assert len(list(read_warmup(directory))) == 6
        whole = read_about(history / str(version))
        assert read_about(directory) == whole | {"task_signatures": False}


def test_mixed_only_answers_the_same_bits(mixed_only, runs):
    for version in (1, 2):
        names = [*TASKS, "many"][: version + 5]
        with ServingSession(mixed_only / str(version)) as session:
            assert_same_bits(mixed(session.run, names), mixed(runs[version], names))


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
    base_dir, saved_tasks, tmp_path, monkeypatch
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
    assert list(read_about(copy / "1")["tasks"]) == list(TASKS)


# === What is refused ===


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "späße", "a\n", "a/b", "_a"])
def test_names_that_are_no_names(copy, many, base_dir, name, tmp_path):
    rule = "a letter followed by letters, digits and underscores.*Received: "
    with pytest.raises(UserError, match=rule):
        add_task(copy, name, many.directory)
    with pytest.raises(UserError, match=rule):
        create_servable(base_dir, {name: many.directory}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


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
    with pytest.raises(UserError, match="at least one task. Received: no adapters"):
        create_servable(base_dir, {}, new)
    with pytest.raises(UserError, match="new or empty. Received: .*servable', which e"):
        create_servable(base_dir, tasks, servable)
    with pytest.raises(UserError, match="exported base is a .*nothing', which has"):
        create_servable(tmp_path / "nothing", tasks, new)
    with pytest.raises(UserError, match="exported adapter is a .*nothing', which has"):
        create_servable(base_dir, {"many": str(tmp_path / "nothing")}, new)
    with pytest.raises(UserError, match="is a SavedModel, but no exported base"):
        create_servable(many.directory, tasks, new)
    with pytest.raises(UserError, match="is a SavedModel, but no exported adapter"):
        create_servable(base_dir, {"many": base_dir}, new)
    assert listing(tmp_path) == []


def test_adapter_of_another_base(copy, other_preset, tmp_path):
    model = build_model(
        "regression", other_preset, AdapterConfig(2), seq_length=16, head={}
    )
    adapter = model.get_adapter(task={"labels": [], "text_columns": ["text"]})
    save_adapter_model(adapter, model, tmp_path / "adapter")
    rule = "The one in '.*adapter' was trained on sha256:.*; this base is sha256:"
    with pytest.raises(AdapterFileError, match=rule):
        add_task(copy, "other", tmp_path / "adapter")
    assert versions_of(copy) == [1]


def test_only_plain_numbers_are_versions(tmp_path):
    for name in ("base", "1", "12", "007", "0", "3x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert versions_of(tmp_path) == [1, 12]
