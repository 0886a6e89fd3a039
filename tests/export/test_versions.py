"""Versions of a servable: what they share, what changes."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.bin.export_new import define_servable
from adapters_tf.errors import UserError
from adapters_tf.export import versions
from adapters_tf.export.bulk_job import ServedTask
from adapters_tf.export.describe import read_servable_json, versions_of
from adapters_tf.export.saving import BASE_SHARD, link_tree
from adapters_tf.export.session import ServingSession
from adapters_tf.export.versions import (
    add_task,
    create_servable,
    remove_task,
    roll_back,
)
from adapters_tf.export.warmup import read_warmup

pytestmark = pytest.mark.slow

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


def assert_unchanged(got, expected):
    """Equal; where there are more or fewer classes, up to the padding.

    Scores but for rounding: of a bank of another size some processors' kernels
    add in another order.
    """
    assert set(got) == set(expected)
    for name, value in expected.items():
        found = got[name]
        if value.ndim == 2:
            width = min(value.shape[1], found.shape[1])
            assert not np.any(value[:, width:]) and not np.any(found[:, width:])
            value, found = value[:, :width], found[:, :width]
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found, value, rtol=0, atol=5e-7)
        else:
            np.testing.assert_array_equal(found, value)


def listing(folder):
    """All there is below a folder, hidden files too."""
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*"))


# === A history of versions ===


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
        patch.setattr(versions, "check_export", lambda *args: None)
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
    tasks = {
        v: list(read_servable_json(history / str(v))["tasks"]) for v in range(1, 6)
    }
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


def test_adding_a_task_changes_nothing_of_the_others(runs):
    for count in (1, 2, 5, 12):
        assert_unchanged(mixed(runs[2], TASKS, count), mixed(runs[1], TASKS, count))
    for name in ("topics", "likeness", "questions"):
        assert_unchanged(own(runs[2], name), own(runs[1], name))


def test_replacing_a_task_changes_nothing_of_the_others(runs):
    others = [name for name in TASKS if name != "topics"] + ["many"]
    assert_unchanged(mixed(runs[3], others), mixed(runs[2], others))
    for name in ("many", "entails"):
        assert_unchanged(own(runs[3], name), own(runs[2], name))


def test_removing_a_task_changes_nothing_of_the_others(runs):
    others = [name for name in TASKS if name != "questions"] + ["many"]
    assert_unchanged(mixed(runs[4], others), mixed(runs[3], others))
    for name in ("fixed", "many"):
        assert_unchanged(own(runs[4], name), own(runs[3], name))


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
        patch.setattr(versions, "check_export", lambda *args: None)
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
        whole = read_servable_json(history / str(version))
        assert read_servable_json(directory) == whole | {"task_signatures": False}


def test_mixed_only_answers_the_same(mixed_only, runs):
    for version in (1, 2):
        names = [*TASKS, "many"][: version + 5]
        with ServingSession(mixed_only / str(version)) as session:
            assert_unchanged(mixed(session.run, names), mixed(runs[version], names))


def test_bulk_predictions_need_own_signatures(mixed_only, history):
    """Which servables have by default."""
    with pytest.raises(UserError, match="adapters-tf-export servable and --task_sig"):
        ServedTask.of(str(mixed_only), "topics")
    assert define_servable().flags["task_signatures"].default is True
    assert ServedTask.of(str(history), "topics").signature == "topics_text"
