"""Directories that appear whole or not at all, and files with two names."""

import errno
import os
from pathlib import Path

import pytest
import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.export.saving import (
    link_or_copy,
    link_tree,
    new_directory,
)


def test_directory_appears_whole_when_the_block_ends(tmp_path):
    path = tmp_path / "a" / "b"
    with new_directory(path) as directory:
        (directory / "file").write_text("text")
        assert not path.exists()
        assert directory.parent == path.parent  # so that renaming is one step
    assert [p.name for p in path.iterdir()] == ["file"]
    assert os.listdir(path.parent) == ["b"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_empty_directory_is_filled(tmp_path):
    (tmp_path / "b").mkdir()
    with new_directory(tmp_path / "b") as directory:
        (directory / "file").touch()
    assert os.listdir(tmp_path / "b") == ["file"]


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (RuntimeError("boom"), RuntimeError, "^boom$"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "^stop$"),
        (UserError("rule"), UserError, "^rule$"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            UserError,
            "new' could not be written: No space left on device$",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"),
            UserError,
            "new' could not be written: x; No space left on device$",
        ),
    ],
)
def test_nothing_is_left_of_a_block_that_failed(tmp_path, error, raised, message):
    with pytest.raises(raised, match=message):
        with new_directory(tmp_path / "new") as directory:
            (directory / "part").mkdir()
            (directory / "part" / "file").touch()
            raise error
    assert os.listdir(tmp_path) == []


def test_names_in_use_are_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "full" / "x").mkdir(parents=True)
    for name in ("file", "full"):
        with pytest.raises(UserError, match=f"new or empty. Received: .*{name}', whic"):
            with new_directory(tmp_path / name):
                raise AssertionError("not reached")
    with pytest.raises(UserError, match="below' could not be written: "):
        with new_directory(tmp_path / "file" / "below"):
            raise AssertionError("not reached")


def test_directory_that_another_made_meanwhile_is_kept(tmp_path):
    """As when two programs add a version of the same number."""
    path = tmp_path / "3"
    with pytest.raises(UserError, match="3' could not be written: Directory not empty"):
        with new_directory(path) as directory:
            (directory / "mine").touch()
            path.mkdir()
            (path / "theirs").touch()
    assert os.listdir(path) == ["theirs"]
    assert os.listdir(tmp_path) == ["3"]


def _tree(path):
    (path / "below").mkdir(parents=True)
    (path / "below" / "x").write_text("x")
    (path / "y").write_text("y")
    (path / "empty").mkdir()
    return path


def test_link_tree_gives_every_file_a_second_name(tmp_path):
    source, target = _tree(tmp_path / "a"), tmp_path / "b"
    link_tree(source, target)
    for name in ("below/x", "y"):
        assert (source / name).samefile(target / name)
    link_tree(source, target)  # over what is there


def test_files_are_copied_where_there_are_no_links(tmp_path, monkeypatch):
    def link(source, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    source, target = _tree(tmp_path / "a"), tmp_path / "b"
    link_tree(source, target)
    assert (target / "below" / "x").read_text() == "x"
    assert not (source / "y").samefile(target / "y")


def test_link_replaces_a_file_and_leaves_its_other_names(tmp_path):
    """What was written through another name must not change the source."""
    for name in ("new", "old"):
        (tmp_path / name).write_text(name)
    os.link(tmp_path / "old", tmp_path / "other")
    link_or_copy(tmp_path / "new", Path(tmp_path / "old"))
    assert (tmp_path / "old").read_text() == "new"
    assert (tmp_path / "other").read_text() == "old"
