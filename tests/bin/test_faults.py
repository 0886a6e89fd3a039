"""Runs that are killed, stopped, lose a worker or diverge; by the command line."""

import json
import signal
import subprocess
import sys
import time

import pytest

from adapters_tf.benchmark.faults.job import (
    FaultOptions,
    measure_faults,
    train_command,
    write_rows,
)
from adapters_tf.benchmark.strategies.workers import start_workers

FLAGS = ("--bottleneck_dim=4",)
SECONDS = 200


@pytest.fixture
def command(tiny_preset, tmp_path):
    """Function: the command of a run in `tmp_path`."""
    rows = tmp_path / "rows.csv"
    write_rows(rows, 180)

    def make(name, *flags, epochs=40):
        options = FaultOptions(tiny_preset, epochs=epochs, flags=(*FLAGS, *flags))
        return train_command(options, rows, tmp_path / name)

    return make


def wait_for_checkpoint(run, processes):
    """Until the run has saved its first state."""
    deadline = time.monotonic() + SECONDS
    while not list((run / "checkpoints").glob("ckpt-*.index")):
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


def finish(process):
    """Exit code, stdout and stderr of a process that ends in time."""
    output, errors = process.communicate(timeout=SECONDS)
    return process.returncode, output, errors


def start(command, workers=1):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return start_workers(command[1:], workers, **pipes)


@pytest.mark.slow
def test_killed_at_random_moments(tiny_preset):
    options = FaultOptions(tiny_preset, kills=3, epochs=8, seed=1, flags=FLAGS)
    result = measure_faults(options)
    assert len(result["kills"]) == 3
    assert result["runs"] and all(run["identical"] for run in result["runs"])


@pytest.mark.slow
def test_sigterm_saves_and_says_so(command, tmp_path):
    (process,) = start(command("run"))
    wait_for_checkpoint(tmp_path / "run", [process])
    process.send_signal(signal.SIGTERM)
    code, _, errors = finish(process)
    assert code == 75
    assert "asked to stop (SIGTERM) and did so at step " in errors
    assert "Traceback" not in errors
    step = errors.split("did so at step ")[1].split(" ")[0]
    assert (tmp_path / "run" / "checkpoints" / f"ckpt-{step}.index").exists()
    # The same command goes on from that very step.
    (again,) = start(command("run"))
    line = f"continuing from step {step} of "
    seen = ""
    for text in again.stdout:
        seen += text
        if line in text:
            break
    again.kill()
    again.communicate()
    assert line in seen


@pytest.mark.slow
def test_lost_worker_ends_the_others_and_a_restart_goes_on(command, tmp_path):
    flags = ("--distribution_strategy=multi_worker_mirrored",)
    chief, other = start(command("run", *flags), workers=2)
    wait_for_checkpoint(tmp_path / "run", [chief, other])
    other.kill()
    began = time.monotonic()
    code, _, errors = finish(chief)
    assert code == 75 and time.monotonic() - began < 90
    assert "A worker of the run was lost, or cannot be reached. Start the" in errors
    assert "Traceback" not in errors
    other.communicate()

    results = [finish(p) for p in start(command("run", *flags), workers=2)]
    assert [code for code, _, _ in results] == [0, 0], results
    assert "continuing from step " in results[0][1]
    # Only the chief speaks.
    assert "Epoch" not in results[1][1]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["best"]["epoch"] <= metrics["epochs"] == 40
    for name in ("adapter", "best_adapter"):
        assert (tmp_path / "run" / name / "adapter.safetensors").is_file()


@pytest.mark.slow
def test_training_that_diverges_is_stopped_at_its_step(command, tmp_path):
    # A rate that float32 cannot hold.
    (process,) = start(command("run", "--learning_rate=1e38", epochs=2))
    code, _, errors = finish(process)
    assert code == 2
    assert "must stay finite. Received: NaN or infinity at step " in errors
    assert "A lower --learning_rate" in errors and "Traceback" not in errors
    assert not (tmp_path / "run" / "adapter").exists()


@pytest.mark.slow
def test_second_run_in_one_directory_is_refused(command, tmp_path):
    (first,) = start(command("run"))
    wait_for_checkpoint(tmp_path / "run", [first])
    done = subprocess.run(
        [sys.executable, *command("run")[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    first.kill()
    first.communicate()
    assert done.returncode == 2
    assert "Another run is writing to output_dir" in done.stderr
