"""A live servable: tasks as files that a loaded version reads when rows name them."""

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import UserError
from adapters_tf.export import (
    add_task,
    create_servable,
    describe_servable,
    remove_task,
    roll_back,
    verify_servable,
)
from adapters_tf.export.adapter import read_task
from adapters_tf.export.describe import read_servable_json
from adapters_tf.export.op_check import unsupported_ops
from adapters_tf.export.saving import link_tree
from adapters_tf.export.servable import LoadedBase, ServableOptions
from adapters_tf.export.servable_check import servable_cases
from adapters_tf.export.session import ServingSession
from adapters_tf.export.task_file import task_bytes
from adapters_tf.export.task_layout import TaskLayout

FIXED = ("topics", "questions")  # of `live_servable`
LIVE = ("entails", "likeness", "norms", "fixed", "answers")
TEXT, PAIR = "the film was very good", "so sad was the actor ."


@pytest.fixture(scope="module")
def tags(save_task):
    """A task with tags of words."""
    config = AdapterConfig(2, parallel=True, activation="relu")
    head = {"num_classes": 3}
    labels = ["O", "B-x", "I-x"]
    return save_task(
        "tags", "token_classification", labels, seed=41, adapter=config, head=head
    )


@pytest.fixture(scope="module")
def deep(save_task):
    """Several labels a row; a deep adapter, a LayerNorm inside, a hidden layer."""
    config = AdapterConfig(3, depth=3, layer_norm=True, activation="tanh")
    return save_task(
        "deep",
        "multi_label",
        ["p", "q", "r", "s"],
        seed=42,
        adapter=config,
        head={"num_classes": 4, "hidden_layer": True},
    )


@pytest.fixture(scope="module")
def directories(saved_tasks, many, tags, deep):
    """Name -> adapter directory of all tasks."""
    found = {name: task.adapter_dir for name, task in saved_tasks.items()}
    others = {"many": many, "tags": tags, "deep": deep}
    return found | {name: task.adapter_dir for name, task in others.items()}


@pytest.fixture(scope="module")
def copy(live_servable, tmp_path_factory):
    """A servable of this module's own, with a session that has it loaded."""
    path = tmp_path_factory.mktemp("live") / "S"
    link_tree(live_servable, path)
    with ServingSession(path / "1") as session:
        yield path, session


@pytest.fixture
def servable(copy):
    """The servable, without live tasks."""
    path = copy[0]
    for file in (path / "tasks").glob("*") if (path / "tasks").exists() else ():
        file.rmdir() if file.is_dir() else file.unlink()
    return path


@pytest.fixture
def run(copy):
    """Function: the outputs of rows (text, text_pair, task)."""

    def call(rows):
        columns = zip(*rows, strict=True)
        names = ("text", "text_pair", "task")
        inputs = {n: np.array(c, object) for n, c in zip(names, columns, strict=True)}
        return copy[1].run("mixed_text", inputs)

    return call


def same_rows(found, expected, rows):
    """Check that these rows of two calls are equal, to the bit."""
    for name, values in expected.items():
        others = found[name]
        if values.ndim == 2 and values.shape[1] != others.shape[1]:
            # Padded to other rows of the batch.
            width = min(values.shape[1], others.shape[1])
            values, others = values[:, :width], others[:, :width]
        np.testing.assert_array_equal(others[rows], values[rows], err_msg=name)


# === Answers ===


def test_every_task_answers_as_without_a_servable(
    base_dir, servable, directories, copy
):
    """All kinds, heads, sizes and variants, added while the version is loaded."""
    base = LoadedBase(Path(base_dir))
    for name in (*LIVE, "many", "tags", "deep"):
        assert add_task(servable, name, directories[name]) == 1
    tasks = {name: read_task(base, path) for name, path in directories.items()}
    options = ServableOptions(False, True, "mean")
    (case,) = servable_cases(base, tasks, [], options)
    outputs = copy[1].run("mixed_text", case.inputs)
    for name, expected in case.expected.items():
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(outputs[name], expected, atol=1e-5)
        else:
            found = outputs[name].ravel().tolist()
            wanted = [v.encode() if isinstance(v, str) else v for v in expected.ravel()]
            assert found == wanted, name
    assert not unsupported_ops(servable / "1")


def test_fixed_and_live_tasks_share_a_batch(servable, directories, run):
    """And the same batch has the same answers, to the bit."""
    rows = [(TEXT, PAIR, name) for name in (*FIXED, "entails", "norms")]
    for name in ("entails", "norms"):
        add_task(servable, name, directories[name])
    own = run(rows)
    assert own["status"].tolist() == [b"ok"] * 4
    assert own["kind"].tolist() == [
        b"classification",
        b"question_answering",
        b"classification",
        b"classification",
    ]
    same_rows(run(rows), own, slice(None))


def test_rows_without_a_task_get_the_mean_of_the_base(base_dir, servable, run):
    """`embedding` is blank for rows of tasks and for unknown ones."""
    base = LoadedBase(Path(base_dir))
    outputs = run([(TEXT, "", ""), (TEXT, PAIR, "topics"), (TEXT, "", "nope")])
    assert outputs["status"].tolist() == [b"ok", b"ok", b"unknown task"]
    assert outputs["kind"].tolist() == [b"embedding", b"classification", b""]
    inputs = base.preprocessor([TEXT])
    sequence = base.model(inputs, training=False)["sequence_output"].numpy()
    mask = np.array(inputs["input_mask"], bool)
    mean = sequence[mask].mean(axis=0)
    np.testing.assert_allclose(outputs["embedding"][0], mean, atol=1e-5)
    assert not outputs["embedding"][1:].any()


# === Rows that fail ===

BAD_NAMES = {
    "": b"ok",
    "nope": b"unknown task",
    "Topics": b"unknown task",
    "../S/tasks/entails": b"invalid task name",
    "/etc/passwd": b"invalid task name",
    "tasks/entails": b"invalid task name",
    "entails.task": b"invalid task name",
    "entails\n": b"invalid task name",
    " entails": b"invalid task name",
    "x" * 100: b"unknown task",
    "x" * 101: b"invalid task name",
    b"\xff\xfe": b"invalid task name",
    b"entails\0": b"invalid task name",
    "späße": b"invalid task name",
}


def test_names_have_their_own_status_and_no_row_fails(servable, directories, run):
    """The others are those of the same batch without bad names, to the bit."""
    add_task(servable, "entails", directories["entails"])
    good = [(TEXT, PAIR, "entails"), (PAIR, TEXT, "topics")]
    outputs = run([*good, *((TEXT, PAIR, name) for name in BAD_NAMES)])
    assert outputs["status"].tolist() == [b"ok", b"ok", *BAD_NAMES.values()]
    expected = run([*good, *((TEXT, PAIR, "nope") for _ in BAD_NAMES)])
    same_rows(outputs, expected, [0, 1])
    assert not outputs["label"][3:].any()


@pytest.fixture
def bad_files(servable, base_dir, directories):
    """Name -> status of files that a server must not use, all in `tasks/`."""
    base = LoadedBase(Path(base_dir))
    layout = TaskLayout(base.layout)
    task = read_task(base, directories["norms"])
    data = task_bytes(task, layout)

    def changed(place):
        found = bytearray(data)
        found[place] ^= 4
        return bytes(found)

    other_base = dict(task.encoder, fingerprint=task.encoder["fingerprint"] + 1)
    other_kind = dict(task.config, kind="ordinal")
    other_head = dict(task.config, head=dict(task.config["head"], head_input="max"))
    files = {
        "empty": (b"", b"damaged task"),
        "text": (b"hello", b"damaged task"),
        "long_text": (b"hello " * 1000, b"damaged task"),
        "half": (data[: len(data) // 2], b"damaged task"),
        "header": (data[:72], b"damaged task"),
        "last_byte_missing": (data[:-1], b"damaged task"),
        "one_more": (data + b"x", b"damaged task"),
        "magic": (changed(3), b"damaged task"),
        "fingerprint": (changed(9), b"damaged task"),
        "length": (changed(48), b"damaged task"),
        "huge": (data[:55] + b"\x7f" + data[56:], b"damaged task"),
        "negative": (data[:63] + b"\xff" + data[64:], b"damaged task"),
        "about": (changed(200), b"damaged task"),
        "number": (changed(len(data) - 40), b"damaged task"),
        "other_base": (
            task_bytes(task.__class__(task.config, other_base, task.head), layout),
            b"task of another base",
        ),
        "other_kind": (
            task_bytes(task.__class__(other_kind, task.encoder, task.head), layout),
            b"unsupported task",
        ),
        "other_head": (
            task_bytes(task.__class__(other_head, task.encoder, task.head), layout),
            b"unsupported task",
        ),
    }
    (servable / "tasks").mkdir(exist_ok=True)
    for name, (content, _) in files.items():
        (servable / "tasks" / f"{name}.task").write_bytes(content)
    (servable / "tasks" / "folder.task").mkdir()
    found = {name: status for name, (_, status) in files.items()}
    return found | {"folder": b"unknown task"}


def test_files_that_cannot_be_used_fail_only_their_rows(
    bad_files, servable, directories, run
):
    """Each has its own status, and `verify` names each."""
    add_task(servable, "entails", directories["entails"])
    good = [(TEXT, PAIR, "entails"), (PAIR, TEXT, "topics")]
    outputs = run([*good, *((TEXT, PAIR, name) for name in bad_files)])
    status = dict(zip(bad_files, outputs["status"][2:].tolist(), strict=True))
    assert status == bad_files
    expected = run([*good, *((TEXT, PAIR, "nope") for _ in bad_files)])
    same_rows(outputs, expected, [0, 1])
    assert not outputs["probabilities"][2:].any()
    # Their five classes do not widen the others' outputs.
    assert outputs["probabilities"].shape == (len(bad_files) + 2, 3)
    (servable / "tasks" / "a-b.task").write_bytes(b"")
    with pytest.raises(UserError, match=r"The servable has 19 problem\(s\)") as e:
        verify_servable(servable)
    for name in (*bad_files, "a-b"):
        assert f"{name}.task'" in str(e.value), name
    summary = describe_servable(servable)
    assert [task.name for task in summary.live_tasks] == [
        "entails",
        "number",
        "other_base",
        "other_head",
        "other_kind",
    ]
    assert set(summary.damaged_tasks) == set(bad_files) - {
        task.name for task in summary.live_tasks
    }
    with pytest.raises(UserError, match="folder.task could not be removed: Is a dir"):
        remove_task(servable, "folder")


def test_remove_stays_in_its_folder(servable, tmp_path):
    """A path is no task's name."""
    (servable / "kept.task").write_bytes(b"kept")
    (servable / "tasks").mkdir(exist_ok=True)
    for name in ("../kept", str(servable / "kept"), "", "."):
        with pytest.raises(UserError, match="There is no task .* to remove"):
            remove_task(servable, name)
    assert (servable / "kept.task").read_bytes() == b"kept"
    (servable / "kept.task").unlink()


def test_a_file_that_is_replaced_and_removed_meanwhile(servable, directories, run):
    """Each answer is one of its tasks', or says that there was none."""
    good = (PAIR, TEXT, "topics")
    answers = []
    for name in ("norms", "many"):
        add_task(servable, "moving", directories[name], replace=bool(answers))
        answers.append(run([good, (TEXT, "", "moving")]))
    path = servable / "tasks" / "moving.task"
    contents = [path.read_bytes()]
    add_task(servable, "moving", directories["norms"], replace=True)
    contents.append(path.read_bytes())
    stop = threading.Event()

    def change():
        turn = 0
        while not stop.is_set():
            new = path.with_name(".new")
            new.write_bytes(contents[turn % 2])
            os.replace(new, path)
            turn += 1
            if turn % 3 == 0:
                path.unlink()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        seen = set()
        for _ in range(60):
            outputs = run([good, (TEXT, "", "moving")])
            same_rows(outputs, answers[0], [0])
            status = outputs["status"][1]
            seen.add(status)
            if status == b"ok":
                assert outputs["label"][1] in [a["label"][1] for a in answers]
            else:
                assert status == b"unknown task"
    finally:
        stop.set()
        thread.join()
    assert b"ok" in seen


# === Files and versions ===


def test_add_replace_and_remove_change_one_file(servable, directories, run):
    """No version is written, nothing else is left, and each answer follows."""
    row = [(TEXT, PAIR, "mine")]
    before = {p.relative_to(servable) for p in servable.rglob("*")}
    assert run(row)["status"].tolist() == [b"unknown task"]
    assert add_task(servable, "mine", directories["norms"]) == 1
    first = run(row)
    assert first["label"][0] in b"abcde"
    with pytest.raises(UserError, match="'mine' is there already; replace it with"):
        add_task(servable, "mine", directories["many"])
    same_rows(run(row), first, [0])
    assert add_task(servable, "mine", directories["many"], replace=True) == 1
    assert run(row)["label"][0].startswith(b"class ")
    (summary,) = describe_servable(servable).live_tasks
    assert (summary.name, summary.bottleneck_dim) == ("mine", 13)
    assert summary.labels == tuple(f"class {i}" for i in range(11))
    found = {p.relative_to(servable) for p in servable.rglob("*")}
    assert {str(p) for p in found - before} <= {"tasks", "tasks/mine.task"}
    assert remove_task(servable, "mine") == 1
    assert run(row)["status"].tolist() == [b"unknown task"]
    with pytest.raises(UserError, match="no task 'mine' to remove.*tasks: none"):
        remove_task(servable, "mine")


def test_what_add_refuses(servable, directories, tmp_path):
    """Before anything is written."""
    with pytest.raises(UserError, match="'topics' is fixed in the servable's newest"):
        add_task(servable, "topics", directories["norms"], replace=True)
    with pytest.raises(UserError, match="name is a letter followed by letters"):
        add_task(servable, "../x", directories["norms"])
    with pytest.raises(UserError, match="at most 100 characters"):
        add_task(servable, "x" * 101, directories["norms"])
    with pytest.raises(UserError, match="'new' is not there; leave --replace away"):
        add_task(servable, "new", directories["norms"], replace=True)
    with pytest.raises(UserError, match="no adapter_config.json and no saved_model"):
        add_task(servable, "new", tmp_path)
    config = servable / "1" / "assets.extra" / "servable.json"
    kept = config.read_text()
    try:
        about = json.loads(kept)
        config.unlink()
        config.write_text(json.dumps(about | {"kinds": ["regression"]}))
        with pytest.raises(UserError, match="kinds of tasks .*: regression. Received"):
            add_task(servable, "new", directories["norms"])
    finally:
        config.write_text(kept)
    assert not list((servable / "tasks").glob("*"))


def test_what_a_killed_process_left_goes_with_the_next_change(servable, directories):
    """And what another program is copying stays."""
    folder = servable / "tasks"
    folder.mkdir(exist_ok=True)
    left, copied = folder / ".x.task.0123abcd.tmp", folder / ".x.task.Yz4"
    left.write_bytes(b"part")
    copied.write_bytes(b"part")
    add_task(servable, "x", directories["norms"])
    assert sorted(p.name for p in folder.iterdir()) == [copied.name, "x.task"]
    copied.unlink()
    assert verify_servable(servable) == (1, 2, 1)


def test_a_servable_without_tasks_is_live(base_dir, directories, tmp_path, check_here):
    """It starts with no task at all; another one needs a task."""
    path = tmp_path / "S"
    with pytest.raises(UserError, match=r"unless its tasks are live \(--live\)"):
        create_servable(base_dir, {}, path)
    create_servable(base_dir, {}, path, live=True)
    assert verify_servable(path) == (1, 0, 0)
    add_task(path, "norms", directories["norms"])
    assert verify_servable(path) == (1, 0, 1)


def test_versions_of_a_live_servable(live_servable, directories, tmp_path, check_here):
    """Removing a fixed task writes a version; live tasks are those of all versions."""
    path = tmp_path / "S"
    link_tree(live_servable, path)
    add_task(path, "norms", directories["norms"])
    assert remove_task(path, "topics") == 2
    assert remove_task(path, "questions") == 3
    assert roll_back(path, 1) == 4
    assert list(read_servable_json(path / "3")["tasks"]) == []
    assert list(read_servable_json(path / "4")["tasks"]) == list(FIXED)
    assert verify_servable(path) == (4, 5, 1)
    inputs = {
        "text": np.array([TEXT] * 2, object),
        "text_pair": np.array([""] * 2, object),
        "task": np.array(["norms", "topics"], object),
    }
    with ServingSession(path / "3") as session:
        status = session.run("mixed_text", inputs)["status"].tolist()
    assert status == [b"ok", b"unknown task"]
    summary = describe_servable(path)
    assert [task.name for task in summary.tasks] == list(FIXED)
    assert [task.name for task in summary.live_tasks] == ["norms"]
    assert remove_task(path, "topics") == 5
    add_task(path, "topics", directories["many"])
    with pytest.raises(UserError, match=r"Version 1 holds fixed .* \['topics'\], and"):
        roll_back(path, 1)
    shutil.copy(path / "tasks" / "norms.task", path / "tasks" / "questions.task")
    with pytest.raises(UserError, match="questions.task' is never read: the newest"):
        verify_servable(path)
