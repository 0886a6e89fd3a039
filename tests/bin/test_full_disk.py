"""A disk that is full or read-only, by the command line."""

import contextlib
import resource
import shutil
import subprocess
import sys
import time

import pytest

from adapters_tf.bin import train

SECONDS = 200


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("needs Linux's mount")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk, process):
    """Leave no byte free, whatever the run removes, until it ends."""
    ballast = disk / "ballast"
    deadline = time.monotonic() + SECONDS
    with open(ballast, "wb", buffering=0) as file:
        while process.poll() is None:
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            time.sleep(0.005)
    ballast.unlink()


def check_error(process, run, reason):
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 2, errors
    assert f"error: Writing to output_dir '{run}' failed: {reason}. What was" in errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert not (run / "metrics.json").exists()


@pytest.mark.slow
def test_full_disk(start, run_flags, check_goes_on, small_disk):
    run = small_disk / "run"
    process = start(run_flags(run))
    fill(small_disk, process)
    check_error(process, run, "No space left on device")
    check_goes_on(run)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
def test_file_that_may_not_grow(start, run_flags, check_goes_on, tmp_path):
    """As with a quota; needs no rights."""
    run = tmp_path / "run"
    process = start(run_flags(run))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (512, 512))
    check_error(process, run, "File too large")
    check_goes_on(run)


def test_read_only_disk(call, run_flags, small_disk, capsys):
    options = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(options, check=True, capture_output=True)
    assert call(train, *run_flags(small_disk / "run")) == 2
    error = capsys.readouterr().err
    assert "error: output_dir must be a directory that can be written." in error
    assert f"'{small_disk}' is not writable" in error


def test_place_under_a_file(call, run_flags, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert call(train, *run_flags(tmp_path / "file" / "run")) == 2
    error = capsys.readouterr().err
    assert "error: output_dir must be a directory that can be written." in error
    assert f"'{tmp_path / 'file'}' is not a directory" in error
    assert (tmp_path / "file").read_text() == "mine"
