"""Files and directories that are whole or absent, locks, and the rest of `io`."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters_tf import io
from adapters_tf.errors import UserError

# Prints a line when it holds the lock, and holds it until its input ends.
HOLD = """
import sys
from adapters_tf.io import open_locked
with open_locked(sys.argv[1], wait=True):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def break_disk(monkeypatch):
    """Function: make this call fail, as on a full disk."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    return lambda owner, name: monkeypatch.setattr(owner, name, fail)


@contextlib.contextmanager
def start(code, *arguments):
    """A process that runs this code; ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def tree(path):
    """The files below a directory, with what they hold."""
    return {
        str(file.relative_to(path)): file.read_text()
        for file in path.rglob("*")
        if file.is_file()
    }


def test_file_gets_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "a"
    with io.new_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == tmp_path
    assert tree(tmp_path) == {"a": "new"}


@pytest.mark.parametrize("content", ["é\r\n", "é\r\n".encode()])
def test_content_is_written_as_it_is(tmp_path, content):
    io.write_file(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\r\n"


@pytest.mark.parametrize("write", [io.write_file, io.write_json])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_fault_leaves_the_file_that_was_there(tmp_path, break_disk, call, write):
    (tmp_path / "a").write_text("old")
    break_disk(os, call)
    with pytest.raises((OSError, UserError), match="No space left on device"):
        write(tmp_path / "a", "new")
    assert tree(tmp_path) == {"a": "old"}


def test_a_block_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), io.new_file(tmp_path / "a") as temporary:
        temporary.write_text("part")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_two_writers_of_one_file_use_different_temporary_names(tmp_path):
    with io.new_file(tmp_path / "a") as one, io.new_file(tmp_path / "a") as other:
        one.write_text("one")
        other.write_text("other")
    assert tree(tmp_path) == {"a": "one"}


def test_a_killed_process_leaves_a_name_that_can_be_recognised(tmp_path):
    code = (
        "import os, sys; from adapters_tf.io import write_json\n"
        "os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "write_json(sys.argv[1], 1)"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "a.json")]
    assert subprocess.run(command).returncode == -9
    (left,) = os.listdir(tmp_path)
    assert io.LEFTOVER.fullmatch(left)[1] == "a.json"


def test_json(tmp_path):
    path = tmp_path / "a.json"
    io.write_json(path, {"a": ["é", 1.5]})
    assert io.read_json(path) == json.loads(path.read_text()) == {"a": ["é", 1.5]}
    assert path.read_text().endswith("}\n")
    with pytest.raises(UserError, match=r"none/a\.json could not be written: No such"):
        io.write_json(tmp_path / "none" / "a.json", 1)


def test_directory_gets_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "a" / "b"
    with io.new_directory(path) as temporary:
        (temporary / "x").write_text("new")
        assert not path.exists() and temporary.parent == path.parent
    assert tree(tmp_path) == {"a/b/x": "new"}
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("keep_others", [False, True])
def test_directory_is_replaced(tmp_path, keep_others):
    path = tmp_path / "a"
    path.mkdir()
    (path / "x").write_text("old")
    (path / "notes").write_text("mine")
    with io.new_directory(path, replace=True, keep_others=keep_others) as temporary:
        (temporary / "x").write_text("new")
    others = {"a/notes": "mine"} if keep_others else {}
    assert tree(tmp_path) == {"a/x": "new"} | others


def test_directory_is_not_replaced_unless_asked(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("old")
    with pytest.raises(OSError, match="not empty"), io.new_directory(tmp_path / "a"):
        pass
    assert tree(tmp_path) == {"a/x": "old"}


@pytest.mark.parametrize(("owner", "call"), [(os, "fsync"), (Path, "rename")])
def test_a_fault_leaves_the_directory_that_was_there(tmp_path, break_disk, owner, call):
    path = tmp_path / "a"
    path.mkdir()
    (path / "x").write_text("old")
    break_disk(owner, call)
    with pytest.raises(OSError, match="No space left on device"):
        with io.new_directory(path, replace=True) as temporary:
            (temporary / "x").write_text("new")
    assert tree(tmp_path) == {"a/x": "old"}
    assert os.listdir(tmp_path) == ["a"]


KILLED = """
import os, sys
from adapters_tf.io import new_directory
with new_directory(sys.argv[1]) as directory:
    (directory / "part").write_text("part")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    # Names that are not of this directory's leftovers.
    others = [".a.settings", ".a.01234567.tmpx", ".b.01234567.tmp", ".a.old.01234567"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ".a.link4567.tmp").symlink_to(tmp_path / ".a.settings")
    others.append(".a.link4567.tmp")
    command = [sys.executable, "-P", "-c", KILLED, str(tmp_path / "a")]
    assert subprocess.run(command).returncode == -9
    (left,) = set(os.listdir(tmp_path)) - set(others)
    assert left.startswith(".a.") and left.endswith(".tmp")
    with io.new_directory(tmp_path / "a"):
        assert left not in os.listdir(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(["a", *others])


def test_directory_that_a_process_is_still_writing_stays(tmp_path):
    with io.new_directory(tmp_path / "a") as first:
        with io.new_directory(tmp_path / "a") as second:
            assert first.is_dir() and second != first
        (tmp_path / "a").rmdir()
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EBADF])
def test_nothing_is_swept_where_there_are_no_locks(tmp_path, monkeypatch, error):
    """Nobody knows there whether its process lives."""

    def flock(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(io.fcntl, "flock", flock)
    (tmp_path / ".a.01234567.tmp").mkdir()
    with io.new_directory(tmp_path / "a"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".a.01234567.tmp", "a"]


@pytest.mark.parametrize("failures", [1, 2])
def test_the_old_directory_survives_renames_that_fail(tmp_path, monkeypatch, failures):
    """The new one cannot take the name; then the old one cannot take it back either."""
    path, rename, failed = tmp_path / "a", Path.rename, []
    path.mkdir()
    (path / "x").write_text("old")

    def failing(self, target):
        if Path(target) == path and len(failed) < failures:
            failed.append(target)
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output error"):
        with io.new_directory(path, replace=True) as temporary:
            (temporary / "x").write_text("new")
    ((name, content),) = tree(tmp_path).items()
    assert content == "old"
    assert name == "a/x" if failures == 1 else name.startswith(".a.old.")


def test_one_process_at_a_time_holds_a_lock(tmp_path):
    path = tmp_path / "lock"
    with start(HOLD, path) as first:
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(BlockingIOError):
            io.open_locked(path)
        with start(HOLD, path) as second:
            first.communicate("")
            assert second.stdout.readline() == "locked\n"
    # Both have ended, the second one killed.
    io.open_locked(path).close()


def test_lock_is_of_the_file_that_has_the_name(tmp_path, monkeypatch):
    """Another process renames its finished file away before this one has the lock."""
    path, flock = tmp_path / "a", io.fcntl.flock

    def late(file, how):
        monkeypatch.setattr(io.fcntl, "flock", flock)
        path.rename(tmp_path / "finished")
        flock(file, how)

    monkeypatch.setattr(io.fcntl, "flock", late)
    with io.open_locked(path) as file:
        assert io.is_open_file(file, path)
        path.unlink()
        assert not io.is_open_file(file, path)


def test_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert io.file_sha256(tmp_path / "file") == known


def test_free_space_of_a_place_that_does_not_exist_yet(tmp_path):
    assert io.free_space(tmp_path / "none" / "below") > 0
