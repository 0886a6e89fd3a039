"""The output directory: whole files, one writer, nothing lost, and the history."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from adapters_tf import Adapter, Tuning, save_adapter
from adapters_tf.errors import UserError
from adapters_tf.io import write_json
from adapters_tf.training.run_dir import (
    History,
    check_base,
    check_run,
    open_run,
    require_free_space,
)


@pytest.mark.parametrize(
    "error",
    [
        lambda path: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        lambda path: tf.errors.ResourceExhaustedError(
            None, None, f"{path}/checkpoints/x; No space left on device"
        ),
        lambda path: tf.errors.ResourceExhaustedError(
            None, None, f"{path}/x; No space left on device [Op:SaveV2]"
        ),
        lambda path: tf.errors.OutOfRangeError(
            None,
            None,
            f"{path}/e.v2; No space left on device\n\tFailed to flush 8 events to "
            f"{path}/e.v2\n\tCould not flush events file. [Op:FlushSummaryWriter]",
        ),
    ],
)
def test_full_disk_in_the_middle_is_a_clear_error(tmp_path, error):
    message = "failed: No space left on device. What was saved before is unharmed"
    with pytest.raises(UserError, match=message):
        with open_run(tmp_path / "run", {"seed": 0}, overwrite=False) as path:
            raise error(path)
    # The run can be continued.
    with open_run(tmp_path / "run", {"seed": 0}, overwrite=False):
        pass


@pytest.mark.parametrize("what", ["history", "adapter"])
def test_full_disk_at_a_file_that_is_whole_or_absent(tmp_path, monkeypatch, what):
    """What writes such a file has an error of its own."""
    adapter = Adapter({"a": np.zeros(1)}, "regression", None, Tuning("head"), {}, "")

    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(directory):
        monkeypatch.setattr(os, "fsync", fsync)
        if what == "history":
            write_json(directory / "history.json", {})
        else:
            save_adapter(adapter, directory / "best_adapter")

    run = tmp_path / "run"
    with (
        pytest.raises(UserError) as raised,
        open_run(run, {}, overwrite=False) as directory,
    ):
        write(directory)
    assert str(raised.value) == (
        f"Writing to output_dir '{run}' failed: No space left on device. What was "
        "saved before is unharmed; the same command goes on from there."
    )
    monkeypatch.undo()
    # Another place is named as it is.
    with (
        pytest.raises(
            UserError, match="other.* could not be written|written to .*other"
        ),
        open_run(run, {}, overwrite=False),
    ):
        write(tmp_path / "other")


def test_other_tensorflow_errors_are_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(tf.errors.ResourceExhaustedError, match="OOM"):
        with open_run(tmp_path / "run", {}, overwrite=False):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM on GPU:0")


def test_too_little_space_is_refused_before_the_start(tmp_path):
    require_free_space(tmp_path, 1)
    with pytest.raises(UserError, match="The run needs .* MB in output_dir"):
        require_free_space(tmp_path, 2**60)


def test_second_process_is_refused_while_the_first_runs(tmp_path):
    code = (
        "import sys; from adapters_tf.training.run_dir import open_run\n"
        "with open_run(sys.argv[1], {}, False): pass"
    )
    with open_run(tmp_path / "run", {}, overwrite=False):
        second = subprocess.run(
            [sys.executable, "-P", "-c", code, str(tmp_path / "run")],
            capture_output=True,
            text=True,
        )
    assert second.returncode != 0
    assert "Another run is writing to output_dir" in second.stderr


def test_settings_that_differ_are_named_once_there_is_a_checkpoint(tmp_path):
    for epochs in (2, 3):
        with open_run(tmp_path / "run", {"seed": 0, "epochs": epochs}, False) as path:
            pass
    tf.train.Checkpoint().write(str(path / "checkpoints" / "ckpt-7"))
    with pytest.raises(UserError, match=r"epochs was 3 and is 4\)"):
        with open_run(tmp_path / "run", {"seed": 0, "epochs": 4}, overwrite=False):
            pass


def test_a_run_goes_on_with_the_same_rows_and_base_alone(tmp_path):
    run, data = tmp_path / "run", {"train_rows_sha256": "a", "dev_rows_sha256": "b"}
    with open_run(run, {"seed": 0, **data}, overwrite=False):
        # Nothing to lose yet: other rows and another base may replace these.
        check_base(run, "sha256:old")
        check_base(run, "sha256:one")
        tf.train.Checkpoint().write(str(run / "checkpoints" / "ckpt-7"))
    with pytest.raises(
        UserError, match=r"\(the training rows or labels have changed\)"
    ):
        with open_run(run, {"seed": 0, **data, "train_rows_sha256": "c"}, False):
            pass
    with pytest.raises(UserError, match=r"seed was 0 and is 1; the dev rows or labels"):
        check_run(run, {"seed": 1, **data, "dev_rows_sha256": "c"}, overwrite=False)
    check_run(run, {"seed": 0}, overwrite=False)  # before the rows are read
    for _ in range(2):  # A refused run leaves the old base on record.
        with open_run(run, {"seed": 0, **data}, overwrite=False):
            with pytest.raises(UserError, match="the weights of the base have changed"):
                check_base(run, "sha256:two")
            check_base(run, "sha256:one")
    with open_run(run, {"seed": 0, "train_rows_sha256": "c"}, overwrite=True):
        check_base(run, "sha256:two")


def test_overwrite_removes_the_old_run_and_nothing_else(tmp_path):
    run = tmp_path / "run"
    with open_run(run, {"seed": 0}, overwrite=False):
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "ckpt-1.index").write_text("old")
        (run / "notes.txt").write_text("mine")
        write_json(run / "metrics.json", {})
    with open_run(run, {"seed": 1}, overwrite=True):
        assert not (run / "checkpoints").exists()
        assert not (run / "metrics.json").exists()
        assert json.loads((run / "settings.json").read_text()) == {"seed": 1}
    assert (run / "notes.txt").read_text() == "mine"


# === A run that is replaced ===


def read_bytes(path):
    """The files below a directory, as bytes."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def finished(tmp_path):
    """A directory of a finished run, and a file of its owner."""
    run = tmp_path / "run"
    with open_run(run, {"seed": 0}, overwrite=False):
        for name in ("adapter", "best_adapter", "tensorboard"):
            (run / name).mkdir()
            (run / name / "file").write_text("old")
        save_checkpoint(run, 9)
        write_json(run / "history.json", {"epochs": []})
        write_json(run / "metrics.json", {})
        (run / "notes.txt").write_text("mine")
    return run


def save_checkpoint(run, step):
    tf.train.Checkpoint().write(str(run / "checkpoints" / f"ckpt-{step}"))


def start_new(run, settings, overwrite, error, step=None):
    """A run that writes something and then ends by this error."""
    with pytest.raises(type(error)), open_run(run, settings, overwrite):
        (run / "tensorboard").mkdir(exist_ok=True)
        (run / "tensorboard" / "new").write_text("new")
        if step:
            save_checkpoint(run, step)
        raise error


@pytest.mark.parametrize(
    "error", [ValueError("seq_length"), KeyboardInterrupt(), OSError(28, "full")]
)
def test_old_run_stays_where_the_new_one_does_not_start(finished, error):
    before = read_bytes(finished)
    with pytest.raises((type(error), UserError)):
        with open_run(finished, {"seed": 1}, overwrite=True):
            (finished / "tensorboard").mkdir()
            (finished / "tensorboard" / "new").write_text("new")
            raise error
    assert read_bytes(finished) == before
    assert not (finished / ".replaced").exists()


@pytest.mark.parametrize("moves", range(9))
def test_old_run_survives_a_kill_at_any_moment(finished, monkeypatch, moves):
    """After each move of its files away, and again after each move back."""
    before, rename, left = read_bytes(finished), Path.rename, [moves]

    def killed(self, target):
        if not left[0]:
            raise SystemExit  # Nothing more is moved, as of a process that is gone.
        left[0] -= 1
        return rename(self, target)

    for _ in range(2):
        with monkeypatch.context() as patch:
            left[0] = moves
            patch.setattr(Path, "rename", killed)
            with pytest.raises(SystemExit):
                with open_run(finished, {"seed": 1}, overwrite=True):
                    left[0] = 0
                    raise SystemExit
        # Without --overwrite it is a finished run, whichever place it has.
        with pytest.raises(UserError, match="holds a finished run"):
            check_run(finished, {"seed": 0}, overwrite=False)
    with pytest.raises(KeyError), open_run(finished, {"seed": 1}, overwrite=True):
        raise KeyError
    assert read_bytes(finished) == before


def test_old_run_is_kept_until_the_stopped_new_one_has_ended(finished, capsys):
    old = read_bytes(finished)
    del old["notes.txt"], old[".lock"]
    for overwrite, settings in ((True, {"seed": 1}), (False, {"seed": 1})):
        start_new(finished, settings, overwrite, KeyError(), step=5)
        assert read_bytes(finished / ".replaced") == old
        error = capsys.readouterr().err
        assert "this one replaces is in '" in error and ".replaced' until" in error
    # Another new one, which does not start: the first one is back.
    start_new(finished, {"seed": 2}, True, KeyError())
    assert read_bytes(finished).keys() == old.keys() | {"notes.txt", ".lock"}
    start_new(finished, {"seed": 1}, True, KeyError(), step=5)
    with open_run(finished, {"seed": 1}, overwrite=False):
        write_json(finished / "metrics.json", {"new": 1})
    assert sorted(os.listdir(finished)) == [
        ".lock",
        "checkpoints",
        "metrics.json",
        "notes.txt",
        "settings.json",
        "tensorboard",
    ]


def test_place_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="must be a directory that can be written"):
        with open_run(Path(tmp_path / "file" / "run"), {}, overwrite=False):
            pass


def test_run_killed_while_its_first_file_was_written_goes_on(tmp_path):
    code = (
        "import os, sys; from adapters_tf.training import run_dir;"
        "os.fsync = lambda _: os.kill(os.getpid(), 9);"
        "run_dir.open_run(sys.argv[1], {'seed': 0}, False).__enter__()"
    )
    run = tmp_path / "run"
    killed = subprocess.run([sys.executable, "-P", "-c", code, str(run)])
    assert killed.returncode == -9
    assert [p.suffix for p in run.glob(".settings*")] == [".tmp"]
    with open_run(run, {"seed": 0}, overwrite=False):
        assert sorted(os.listdir(run)) == [".lock", "settings.json"]


def test_unfinished_files_of_other_programs_are_refused_and_kept(tmp_path):
    (tmp_path / ".thesis.odt.12.tmp").write_text("mine")
    with pytest.raises(UserError, match="which holds other files: .thesis.odt.12.tmp"):
        with open_run(tmp_path, {"seed": 0}, overwrite=False):
            pass
    assert (tmp_path / ".thesis.odt.12.tmp").read_text() == "mine"


def test_best_is_the_first_of_equals_and_survives(tmp_path):
    history = History(tmp_path, True, 0)
    for epoch, value in enumerate((0.5, 0.8, 0.8, float("nan"), 0.7), 1):
        dev = {"accuracy": value, "loss": 1 - epoch}
        assert history.is_best(dev) == (epoch in (1, 2))
        history.add({"epoch": epoch, "step": 3 * epoch, "dev": dev})
    again = History(tmp_path, True, 5)
    assert again.best["epoch"] == history.best["epoch"] == 2
    assert again.scores["accuracy"] == 0.7
    # From a checkpoint of the first epoch, the later ones are yet to come.
    earlier = History(tmp_path, True, 1)
    assert [e["epoch"] for e in earlier.epochs] == [1]
    assert earlier.is_best({"accuracy": 0.6})


def test_only_the_chief_writes(tmp_path):
    History(tmp_path, False, 0).add({"epoch": 1, "step": 3, "dev": {"f1": 1.0}})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "history.json").write_text(json.dumps({"epochs": 3}))
    assert History(tmp_path, True, 0).epochs == []
