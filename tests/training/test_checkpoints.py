"""Checkpoints that were damaged, or left by a process that was killed."""

import os
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.training.checkpoints import (
    checkpoint_manager,
    find_checkpoints,
    remove_unlisted,
    restore_newest,
)


@pytest.fixture
def saved(tmp_path):
    """A folder with checkpoints of the steps 5, 9 and 10, and the variables."""
    step = tf.Variable(0, dtype=tf.int64)
    value = tf.Variable(tf.zeros([1000]))
    checkpoint = tf.train.Checkpoint(step=step, value=value)
    manager = tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=None)
    for number in (5, 9, 10):
        step.assign(number)
        value.assign(tf.fill([1000], float(number)))
        manager.save(number)
    return checkpoint, tmp_path, step, value


def names(directory):
    return [os.path.basename(path) for path in find_checkpoints(directory)]


def test_found_by_step_and_without_the_list(saved):
    _, directory, _, _ = saved
    (directory / "checkpoint").unlink()
    (directory / "ckpt-11.data-00000-of-00001").write_text("no index yet")
    assert names(directory) == ["ckpt-5", "ckpt-9", "ckpt-10"]
    assert find_checkpoints(directory / "missing") == []


def test_newest_is_restored(saved, capsys):
    checkpoint, directory, step, value = saved
    value.assign(tf.zeros([1000]))
    path = restore_newest(checkpoint, directory)
    assert os.path.basename(path) == "ckpt-10"
    assert (int(step), float(value[999])) == (10, 10.0)
    assert capsys.readouterr().err == ""


def test_none_yet(tmp_path):
    assert restore_newest(tf.train.Checkpoint(), tmp_path) is None


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_damaged_checkpoint_is_named_and_the_one_before_taken(saved, capsys, damage):
    checkpoint, directory, step, value = saved
    damage(directory / "ckpt-10.data-00000-of-00001")
    assert os.path.basename(restore_newest(checkpoint, directory)) == "ckpt-9"
    assert (int(step), float(value[999])) == (9, 9.0)
    error = capsys.readouterr().err
    assert f"{directory}/ckpt-10 cannot be read and is passed over: " in error


def test_all_damaged(saved, capsys):
    checkpoint, directory, _, _ = saved
    for file in directory.glob("*.data*"):
        truncate(file)
    with pytest.raises(UserError) as error:
        restore_newest(checkpoint, directory)
    assert names(directory) == ["ckpt-5", "ckpt-9", "ckpt-10"]
    # Programs without --overwrite, such as sweeps, have the other way.
    advice = f"remove {str(directory)!r}, or give --overwrite to adapters-tf-train."
    assert str(error.value).endswith(f"To start anew, {advice}")
    shutil.rmtree(directory)
    assert restore_newest(checkpoint, directory) is None


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_short, empty])
def test_index_that_was_not_written_to_its_end(saved, capsys, damage):
    checkpoint, directory, _, _ = saved
    damage(directory / "ckpt-10.index")
    assert os.path.basename(restore_newest(checkpoint, directory)) == "ckpt-9"
    assert "/ckpt-10 cannot be read and is passed over: " in capsys.readouterr().err
    for number in (5, 9):
        damage(directory / f"ckpt-{number}.index")
    with pytest.raises(UserError, match="No checkpoint in .* can be read"):
        restore_newest(checkpoint, directory)


@pytest.mark.parametrize("damage", [cut_short, empty])
def test_first_one_that_was_not_written_to_its_end_is_none(saved, capsys, damage):
    checkpoint, directory, step, _ = saved
    for path in [directory / "checkpoint", *directory.glob("ckpt-[59]*")]:
        path.unlink()
    assert names(directory) == ["ckpt-10"]
    damage(directory / "ckpt-10.index")
    assert names(directory) == []
    assert restore_newest(checkpoint, directory) is None
    assert capsys.readouterr().err == ""
    checkpoint_manager(checkpoint, directory, step, 1)
    assert list(directory.iterdir()) == []


def test_what_a_killed_process_left_is_swept(saved):
    checkpoint, directory, step, _ = saved
    # It was killed before it listed step 10, and while it wrote step 11.
    state = (directory / "checkpoint").read_text()
    (directory / "checkpoint").write_text(
        'model_checkpoint_path: "ckpt-9"\nall_model_checkpoint_paths: "ckpt-9"\n'
    )
    assert "ckpt-10" in state
    (directory / "ckpt-11_temp").mkdir()
    restore_newest(checkpoint, directory)
    manager = checkpoint_manager(checkpoint, directory, step, 1)
    assert names(directory) == ["ckpt-9", "ckpt-10"]
    assert not (directory / "ckpt-11_temp").exists()
    for number in (12, 13):
        step.assign(number)
        manager.save(number)
    remove_unlisted(manager)
    assert names(directory) == ["ckpt-12", "ckpt-13"]
