"""A disk that is full or read-only, by the command line."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import time

import pytest

from adapters_tf.bin import train
from adapters_tf.training.checkpoints import find_checkpoints
from benchmarks.faults import FaultOptions, train_command, write_rows

SECONDS = 200


@pytest.fixture(scope="module")
def make_flags(tiny_preset, tmp_path_factory):
    """Function: the flags of a run of 220 steps."""
    rows = tmp_path_factory.mktemp("rows") / "rows.csv"
    write_rows(rows, 180)
    options = FaultOptions(tiny_preset, epochs=20, flags=("--bottleneck_dim=4",))

    def make(output_dir):
        command = train_command(options, rows, output_dir)
        return [flag for flag in command if flag.startswith("--")]

    return make


@pytest.fixture(scope="module")
def whole(make_flags, tmp_path_factory):
    """The run that nothing happened to."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *make_flags(run)])
        train.cli()
    return run


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


def start(flags):
    """The run, in a process of its own, when it has saved its first state."""
    run = next(f for f in flags if f.startswith("--output_dir=")).split("=", 1)[1]
    program = "from adapters_tf.bin.train import cli; cli()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + SECONDS
    while not find_checkpoints(os.path.join(run, "checkpoints")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    return process


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


def check_goes_on(call, flags, run, whole, capsys):
    """The same command ends in the same bytes as a run of an empty disk."""
    newest = find_checkpoints(run / "checkpoints")[-1]
    capsys.readouterr()
    assert call(train, *flags) == 0
    captured = capsys.readouterr()
    step = newest.rsplit("-", 1)[1]
    assert f"continuing from step {step} of 220" in captured.out
    assert "passed over" not in captured.err
    for name in ("adapter/adapter.safetensors", "history.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    assert list((run / "checkpoints").glob("*_temp")) == []


@pytest.mark.slow
def test_full_disk(call, make_flags, whole, small_disk, capsys):
    run = small_disk / "run"
    process = start(make_flags(run))
    fill(small_disk, process)
    check_error(process, run, "No space left on device")
    check_goes_on(call, make_flags(run), run, whole, capsys)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
def test_file_that_may_not_grow(call, make_flags, whole, tmp_path, capsys):
    """As with a quota; needs no rights."""
    run = tmp_path / "run"
    process = start(make_flags(run))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (512, 512))
    check_error(process, run, "File too large")
    check_goes_on(call, make_flags(run), run, whole, capsys)


def test_read_only_disk(call, make_flags, small_disk, capsys):
    options = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(options, check=True, capture_output=True)
    assert call(train, *make_flags(small_disk / "run")) == 2
    error = capsys.readouterr().err
    assert "error: output_dir must be a directory that can be written." in error
    assert f"'{small_disk}' is not writable" in error


def test_place_under_a_file(call, make_flags, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert call(train, *make_flags(tmp_path / "file" / "run")) == 2
    error = capsys.readouterr().err
    assert "error: output_dir must be a directory that can be written." in error
    assert f"'{tmp_path / 'file'}' is not a directory" in error
    assert (tmp_path / "file").read_text() == "mine"
