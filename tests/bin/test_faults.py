"""Runs that are stopped or lose a worker, by the command line."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adapters_tf.bin import train
from adapters_tf.training.checkpoints import find_checkpoints
from benchmarks.processes import start_workers

WORKERS = "--distribution_strategy=multi_worker_mirrored"
EPOCHS = 8  # of runs that lose a worker
SECONDS = 300  # A machine may be busy.
PROGRAM = "from adapters_tf.bin.train import cli; cli()"


def wait_for(pattern, run, processes):
    """Until the run has such a checkpoint."""
    deadline = time.monotonic() + SECONDS
    while not list((run / "checkpoints").glob(pattern)):
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def finish(process):
    """Exit code, stdout and stderr of a process that ends in time."""
    output, errors = process.communicate(timeout=SECONDS)
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def start_two():
    """Function: start the program as two workers."""
    started = []

    def run(flags, program=PROGRAM, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # -P: the installed package, not the folder in the checkout.
        command = [sys.executable, "-P", "-c", program, *flags]
        processes = start_workers(command, 2, **pipes, **options)
        started.extend(processes)
        return processes

    yield run
    for process in started:
        process.kill()  # Of a test that failed.


@pytest.mark.slow
def test_sigterm_saves_and_says_so(start, run_flags, check_goes_on, tmp_path):
    process = start(run_flags(tmp_path / "run"))
    process.send_signal(signal.SIGTERM)
    code, _, errors = finish(process)
    assert code == 75
    assert "asked to stop (SIGTERM) and did so at step " in errors
    assert "Traceback" not in errors
    step = errors.split("did so at step ")[1].split(" ")[0]
    assert (tmp_path / "run" / "checkpoints" / f"ckpt-{step}.index").exists()
    # The same command goes on from that very step.
    assert find_checkpoints(tmp_path / "run" / "checkpoints")[-1].endswith(f"-{step}")
    check_goes_on(tmp_path / "run")


@dataclasses.dataclass
class Left:
    """What the loss of one of two workers left.

    Attributes:
        run: The run's directory.
        code: The other worker's exit code,
        errors: its stderr,
        seconds: and how long it took to end.
    """

    run: Path
    code: int
    errors: str
    seconds: float


@pytest.fixture(scope="module")
def lose_worker(start_two, run_flags, tmp_path_factory):
    """Function: kill this worker of two."""

    def lose(index):
        run = tmp_path_factory.mktemp("lost") / "run"
        workers = start_two(run_flags(run, WORKERS, epochs=EPOCHS))
        wait_for("ckpt-*.index", run, workers)
        workers[index].kill()
        began = time.monotonic()
        code, _, errors = finish(workers[1 - index])
        seconds = time.monotonic() - began
        workers[index].communicate()
        return Left(run, code, errors, seconds)

    return lose


@pytest.fixture(scope="module")
def left(lose_worker):
    """What the loss of the second worker left."""
    return lose_worker(1)


def check_that_it_says_so(left):
    assert left.code == 75 and left.seconds < 90
    assert "A worker of the run was lost, or cannot be reached. Start the" in (
        left.errors
    )
    assert "Traceback" not in left.errors


@pytest.mark.slow
def test_lost_worker_ends_the_first(left):
    check_that_it_says_so(left)


@pytest.mark.slow
def test_lost_first_worker_ends_the_other(lose_worker):
    check_that_it_says_so(lose_worker(0))


@pytest.mark.slow
def test_restart_after_a_lost_worker_goes_on(left, start_two, run_flags, tmp_path):
    shutil.copytree(left.run, tmp_path / "run")
    flags = run_flags(tmp_path / "run", WORKERS, epochs=EPOCHS)
    results = [finish(worker) for worker in start_two(flags)]
    assert [code for code, _, _ in results] == [0, 0], results
    assert "continuing from step " in results[0][1]
    # Only the chief speaks.
    assert "Epoch" not in results[1][1]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["best"]["epoch"] <= metrics["epochs"] == EPOCHS
    for name in ("adapter", "best_adapter"):
        assert (tmp_path / "run" / name / "adapter.safetensors").is_file()


# Each worker where it has a disk of its own, which makes `run` two directories.
OWN_DISK = """
import json, os
os.chdir("disk%d" % json.loads(os.environ["TF_CONFIG"])["task"]["index"])
"""


@pytest.mark.slow
def test_workers_that_do_not_share_output_dir_are_refused(
    left, start_two, run_flags, tmp_path
):
    shutil.copytree(left.run, tmp_path / "disk0" / "run")
    (tmp_path / "disk1").mkdir()
    kept = find_checkpoints(tmp_path / "disk0" / "run" / "checkpoints")
    flags = run_flags("run", WORKERS, epochs=EPOCHS)
    workers = start_two(flags, OWN_DISK + PROGRAM, cwd=tmp_path)
    results = [finish(worker) for worker in workers]
    assert [code for code, _, _ in results] == [2, 2], results
    step = kept[-1].rsplit("-", 1)[1]
    for found, (_, _, errors) in zip((step, "0"), results, strict=True):
        assert "error: All workers must see the same output_dir, on a file" in errors
        assert f"Received: a worker that found step {found} there" in errors
        assert "Traceback" not in errors
    assert find_checkpoints(tmp_path / "disk0" / "run" / "checkpoints") == kept


@pytest.mark.slow
def test_sigterm_while_two_workers_evaluate(start_two, run_flags, write_rows, tmp_path):
    run, dev = tmp_path / "run", tmp_path / "dev.csv"
    write_rows(dev, 5000)
    workers = start_two(run_flags(run, WORKERS, f"--dev_file={dev}"))
    # An epoch's 12 steps are done and saved, and yet to be measured.
    wait_for("ckpt-12.index", run, workers)
    workers[1].send_signal(signal.SIGTERM)
    assert not (run / "history.json").exists()
    for code, _, errors in map(finish, workers):
        assert code == 75, errors
        assert "asked to stop (SIGTERM) and did so at step 12 of 240" in errors
        assert "Traceback" not in errors
    # What was measured is kept too.
    (epoch,) = json.loads((run / "history.json").read_text())["epochs"]
    assert epoch["step"] == 12
    assert find_checkpoints(run / "checkpoints")[-1].endswith("ckpt-12")


@pytest.mark.slow
def test_second_run_in_one_directory_is_refused(
    call, start, run_flags, tmp_path, capsys
):
    # So many epochs that the first run is still at it when the second comes.
    flags = run_flags(tmp_path / "run", epochs=3000)
    first = start(flags)
    assert call(train, *flags) == 2
    assert first.poll() is None
    assert "Another run is writing to output_dir" in capsys.readouterr().err
