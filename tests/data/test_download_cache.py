"""What the cache holds after good downloads, bad ones and killed processes."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from adapters_tf.data import download_cache, package_index
from adapters_tf.errors import UserError

WHEEL = "made_up-1.0-py3-none-any.whl"
SDIST = "made_up-1.0.tar.gz"
MEMBERS = {"made_up/model/a.txt": b"a" * 10_000, "made_up/b.txt": b"b"}

# `fetch` in a process of its own; the artifact's hash is the argument.
PROGRAM = """
import sys
from adapters_tf.data import download_cache
artifact = download_cache.Artifact(
    "made-up", "made_up-1.0-py3-none-any.whl", sys.argv[1],
    {"made_up/model/a.txt": "a.txt", "made_up/b.txt": "b.txt"},
)
print(download_cache.fetch(artifact))
"""


@pytest.fixture
def artifact(index, cache, sha256):
    """A function that puts an archive into the index and describes it."""

    def make(filename, content, members=None):
        index.offer("made-up", filename, content)
        members = members or {"made_up/model/a.txt": "a.txt", "made_up/b.txt": "b.txt"}
        return download_cache.Artifact("made-up", filename, sha256(content), members)

    return make


def visible(cache):
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("kind", ["make_wheel", "make_sdist"])
def test_takes_the_named_members_alone(artifact, cache, index, request, kind):
    content = request.getfixturevalue(kind)(MEMBERS | {"setup.py": b"1 / 0"})
    wanted = artifact(WHEEL if kind == "make_wheel" else SDIST, content)
    directory = download_cache.fetch(wanted)
    assert (directory / "a.txt").read_bytes() == MEMBERS["made_up/model/a.txt"]
    assert (directory / "b.txt").read_bytes() == MEMBERS["made_up/b.txt"]
    assert sorted(os.listdir(directory)) == [".complete.json", "a.txt", "b.txt"]
    assert visible(cache) == [directory.name]
    assert download_cache.fetch(wanted) == directory
    assert len(index.requests) == 2


@pytest.mark.parametrize("damage", ["shorten", "remove", "marker", "other archive"])
def test_damaged_copy_is_fetched_again(artifact, cache, index, make_wheel, damage):
    wanted = artifact(WHEEL, make_wheel(MEMBERS))
    directory = download_cache.fetch(wanted)
    marker = directory / ".complete.json"
    if damage == "shorten":
        (directory / "a.txt").write_bytes(b"a")
    elif damage == "remove":
        (directory / "a.txt").unlink()
    elif damage == "marker":
        marker.write_text("{")
    else:
        marker.write_text(marker.read_text().replace(wanted.sha256, "0" * 64))
    assert download_cache.fetch(wanted) == directory
    assert (directory / "a.txt").read_bytes() == MEMBERS["made_up/model/a.txt"]
    assert visible(cache) == [directory.name]
    assert len(index.requests) == 4


@pytest.mark.parametrize("kind", ["make_wheel", "make_sdist"])
def test_members_that_lead_outside_are_not_written(
    artifact, cache, tmp_path, request, kind
):
    evil = {"../evil": b"x", str(tmp_path / "evil"): b"x", "a/../../evil": b"x"}
    make = request.getfixturevalue(kind)
    download_cache.fetch(artifact(WHEEL, make(MEMBERS | evil)))
    assert not list(tmp_path.rglob("evil"))


def test_link_in_place_of_a_member(artifact, cache, make_sdist):
    members = MEMBERS | {"made_up/b.txt": "/etc/passwd"}
    with pytest.raises(UserError, match=r"made_up/b\.txt is not a plain file"):
        download_cache.fetch(artifact(SDIST, make_sdist(members)))
    assert visible(cache) == []


@pytest.mark.parametrize("kind", ["make_wheel", "make_sdist"])
def test_archive_without_the_member(artifact, cache, request, kind):
    content = request.getfixturevalue(kind)({"made_up/b.txt": b"b"})
    with pytest.raises(UserError, match=r"must hold .*made_up/model/a\.txt"):
        download_cache.fetch(artifact(SDIST, content))
    assert visible(cache) == []


@pytest.mark.parametrize("kind", ["make_wheel", "make_sdist"])
def test_archive_that_is_cut_short(artifact, cache, request, kind):
    content = request.getfixturevalue(kind)(MEMBERS)
    with pytest.raises(UserError, match="must be a readable archive"):
        download_cache.fetch(artifact(SDIST, content[: len(content) // 2]))
    assert visible(cache) == []


def test_wrong_hash_leaves_nothing(artifact, cache, index, make_wheel):
    wanted = artifact(WHEEL, make_wheel(MEMBERS))
    index.offer("made-up", WHEEL, b"other")
    with pytest.raises(UserError, match="must have the SHA-256"):
        download_cache.fetch(wanted)
    assert visible(cache) == []


def test_interrupt_leaves_nothing(artifact, cache, make_wheel, monkeypatch):
    wanted = artifact(WHEEL, make_wheel(MEMBERS))

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(package_index.Progress, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download_cache.fetch(wanted)
    assert visible(cache) == []


def start(wanted):
    command = [sys.executable, "-P", "-c", PROGRAM, wanted.sha256]
    # The package under test may be found through this process's sys.path only.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_killed_while_downloading(artifact, cache, index, make_wheel):
    content = make_wheel(MEMBERS)
    wanted = artifact(WHEEL, content)
    index.offer("made-up", WHEEL, {"body": content, "pause": 60})
    process = start(wanted)
    deadline = time.monotonic() + 60
    while not list(cache.glob(".made-up-*.tmp-*/archive")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(visible(cache)) == 1  # what a killed process cannot clear up
    index.offer("made-up", WHEEL, content)
    directory = download_cache.fetch(wanted)
    assert visible(cache) == [directory.name]


def test_two_processes_at_once_download_once(artifact, cache, index, make_wheel):
    content = make_wheel(MEMBERS)
    wanted = artifact(WHEEL, content)
    index.offer("made-up", WHEEL, {"body": content, "pause": 2})
    processes = [start(wanted), start(wanted)]
    for process in processes:
        output, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()
        assert os.listdir(output.decode().strip())
    assert index.paths().count(f"/files/{WHEEL}") == 1
    assert len(visible(cache)) == 1


def test_two_processes_without_locks(artifact, cache, make_wheel, monkeypatch):
    wanted = artifact(WHEEL, make_wheel(MEMBERS))

    def no_locks(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    def overtaken(*args):
        """While this download runs, another process does the whole."""
        monkeypatch.setattr(package_index, "download", download)
        download_cache.fetch(wanted)
        download(*args)

    download = package_index.download
    monkeypatch.setattr(download_cache.fcntl, "flock", no_locks)
    monkeypatch.setattr(package_index, "download", overtaken)
    directory = download_cache.fetch(wanted)
    assert (directory / "b.txt").read_bytes() == b"b"
    assert visible(cache) == [directory.name]


def test_disk_full(artifact, cache, make_wheel, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    wanted = artifact(WHEEL, make_wheel(MEMBERS))
    monkeypatch.setattr(download_cache.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="No space left on device") as raised:
        download_cache.fetch(wanted)
    assert "ADAPTERS_TF_CACHE_DIR" in str(raised.value)
    assert visible(cache) == []


def test_cache_folder_that_cannot_be_made(artifact, cache, make_wheel):
    cache.write_text("a file, not a folder")
    with pytest.raises(UserError, match="cache folder must be writable"):
        download_cache.fetch(artifact(WHEEL, make_wheel(MEMBERS)))


def test_place_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ADAPTERS_TF_CACHE_DIR", "~/here")
    assert download_cache.cache_dir() == tmp_path / "here"
    monkeypatch.setenv("ADAPTERS_TF_CACHE_DIR", "")
    assert download_cache.cache_dir().name == "adapters-tf"
