"""Time to quality with a peer that only says what it would have found."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from adapters_tf.data.examples import Examples, TaskData
from adapters_tf.errors import UserError
from adapters_tf.models.task import Task
from adapters_tf.preset_names import resolve_preset
from benchmarks import time_to_quality
from benchmarks.processes import watch
from benchmarks.time_to_quality import as_markdown, find_ratios

EPOCHS = [
    {"seconds": 5.0, "accuracy": 0.7},
    {"seconds": 9.0, "accuracy": 0.8},
    {"seconds": 13.0, "accuracy": 0.9},
]
# Epochs one after another, and a line for each.
WRITES = """
import json, os, sys, time
for n in (1, 2):
    with open("h.tmp", "w") as f:
        json.dump({"epochs": [{"epoch": i} for i in range(n)]}, f)
    os.rename("h.tmp", sys.argv[1])
    time.sleep(3)
"""
PEER = """#!%s
import json, sys
settings = json.load(open(sys.argv[2]))
rows = [json.loads(line) for line in open(settings["train"])]
assert rows and set(rows[0]) == {"text", "label"}
assert settings["text_columns"] == ["text"] and settings["epochs"] == 2
assert settings["learning_rate"] == 1e-4
json.dump({"accuracy": 0.3, "versions": {"torch": "0"}}, open(settings["result"], "w"))
"""


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (0.7, {"epoch": 1, "seconds": 5.0}),
        (0.75, {"epoch": 2, "seconds": 9.0}),
        (0.91, None),
    ],
)
def test_the_first_epoch_that_is_as_good(target, found):
    assert time_to_quality.reached(EPOCHS, target) == found


def test_watch_sees_each_epoch_when_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    history = tmp_path / "h.json"
    command = [sys.executable, "-c", WRITES, str(history)]
    run = watch(command, "It", history)
    first, second = run.epochs
    assert (first["epoch"], second["epoch"]) == (0, 1)
    assert 0.5 < second["seconds"] - first["seconds"]
    assert second["seconds"] < run.wall_seconds and 0 < run.cpu_seconds
    assert run.foreign is None or 0 <= run.foreign < 1
    with pytest.raises(UserError, match="It failed with exit code 3: so sorry"):
        code = "import sys; print('so sorry', file=sys.stderr); sys.exit(3)"
        watch([sys.executable, "-c", code], "It")


def test_rows_are_written_for_both(tmp_path):
    task = Task("t", "classification", ("one", "two"), ("no", "yes"))
    rows = Examples((["a", "b\n"], ["c", 'd"']), np.array([1, 0], np.int32))
    time_to_quality.write_rows(tmp_path / "x.jsonl", TaskData(task, rows, rows), rows)
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"one": "a", "two": "c", "label": "yes"},
        {"one": "b\n", "two": 'd"', "label": "no"},
    ]


def result(reached):
    return {
        "metric": "accuracy",
        "tasks": [
            {
                "task": "sst2",
                "peer": {"wall_seconds": 20.0},
                "ours": {"reached": reached},
            }
        ],
    }


def test_ratios():
    (ratio,) = find_ratios(result({"epoch": 1, "seconds": 5.0}))
    assert ratio == (
        "sst2",
        "time to AdapterHub's dev accuracy, ours / AdapterHub",
        0.25,
    )
    (ratio,) = find_ratios(result(None))
    assert ratio.value is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be 1 or more. Received: epochs=0"),
        ({"peer_python": "/no/such"}, "could not be started. Received: '/no/such'"),
    ],
)
def test_options_are_checked(changes, message):
    with pytest.raises(UserError, match=message):
        time_to_quality.QualityOptions(**{"peer_python": sys.executable, **changes})


def test_the_base_must_be_one_that_the_peer_can_read(tmp_path):
    options = time_to_quality.QualityOptions(sys.executable, preset=str(tmp_path))
    with pytest.raises(UserError, match="without config.json, model.safetensors"):
        time_to_quality.measure_time_to_quality(options)


def sms_folder(root, rows=80):
    (root / "sms_spam").mkdir()
    lines = [
        f"{('ham', 'spam')[i % 2]}\t{('good', 'awful')[i % 2]} film {i}"
        for i in range(rows)
    ]
    (root / "sms_spam" / "SMSSpamCollection").write_text("\n".join(lines) + "\n")
    return str(root)


@pytest.mark.slow
def test_both_runs(small_preset, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(PEER % sys.executable)
    python.chmod(0o755)
    monkeypatch.setattr(time_to_quality, "_BASE_FILES", ("config.json",))
    short = ("--seq_length=32", "--head_input=mean", "--bottleneck_dim=4")
    monkeypatch.setattr(
        time_to_quality, "TRAIN_PROGRAM", (*time_to_quality.TRAIN_PROGRAM, *short)
    )
    options = time_to_quality.QualityOptions(
        str(python),
        sms_folder(tmp_path),
        ("sms_spam",),
        small_preset,
        max_train_examples=40,
        epochs=2,
        peer_epochs=2,
    )
    found = time_to_quality.measure_time_to_quality(options, say=lambda _: None)
    (task,) = found["tasks"]
    assert (task["train_rows"], task["dev_rows"], task["majority"]) == (40, 8, 0.5)
    ours = task["ours"]
    first, second = ours["epochs"]
    # Epochs of two steps may both be there when the file is looked at.
    assert 1 < first["seconds"] <= second["seconds"] <= ours["wall_seconds"]
    assert task["peer"]["accuracy"] == 0.3 and task["peer"]["wall_seconds"] > 0
    assert ours["reached"] == time_to_quality.reached(ours["epochs"], 0.3)
    assert found["peer_versions"] == {"torch": "0"}
    text = as_markdown(found)
    assert "| sms_spam, 40 rows | 0.5000 | 0.3000 | " in text
    assert "**On sms_spam the peer ended no better than the most frequent" in text
    task["peer"]["accuracy"] = 0.6
    assert "no better than" not in as_markdown(found)


@pytest.mark.slow
@pytest.mark.skipif(
    "ADAPTERS_TF_PEER_PYTHON" not in os.environ,
    reason="ADAPTERS_TF_PEER_PYTHON does not name a Python with torch and adapters",
)
def test_the_peer_trains(tmp_path):
    preset = Path(resolve_preset("demo"))
    texts = [f"{('good', 'awful')[i % 2]} film {i}" for i in range(32)]
    rows = Examples((texts,), np.arange(32, dtype=np.int32) % 2)
    task = Task("t", "classification", ("text",), ("no", "yes"))
    data = TaskData(task, rows, rows)
    for name in ("train", "dev"):
        time_to_quality.write_rows(tmp_path / f"{name}.jsonl", data, rows)
    options = time_to_quality.QualityOptions(
        os.environ["ADAPTERS_TF_PEER_PYTHON"], peer_epochs=2
    )
    found = time_to_quality._run_peer(options, preset, data, tmp_path)
    assert found["steps"] == 2 and 0 <= found["accuracy"] <= 1
    # 6 blocks of two adapters 384 -> 24 -> 384, and a head of two dense layers.
    adapters = 12 * (2 * 384 * 24 + 384 + 24)
    head = 384 * 384 + 384 + 2 * 384 + 2
    assert found["trained_parameters"] == adapters + head
    assert set(found["stages"]) >= {"imports", "tokenising", "training"}
    shutil.rmtree(tmp_path / "peer")
