"""A run that is killed goes on where it was, to the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from adapters_tf.training.checkpoints import find_checkpoints


def command(preset, file, run):
    program = "from adapters_tf.bin.train import cli; cli()"
    return [
        sys.executable,
        "-P",  # the installed package, not the folder in the checkout
        "-c",
        program,
        f"--preset={preset}",
        f"--train_file={file}",
        "--bottleneck_dim=4",
        "--epochs=30",
        "--batch_size=8",
        "--seq_length=16",
        "--checkpoint_interval=20",
        f"--output_dir={run}",
    ]


def newest_step(directory):
    """Of the newest checkpoint; each is there for a moment only."""
    found = find_checkpoints(directory)
    return int(found[-1].rsplit("-", 1)[1]) if found else 0


@pytest.mark.slow
def test_killed_run_ends_with_the_same_bytes(tiny_preset, sentiment_csv, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(
        command(tiny_preset, sentiment_csv, whole), check=True, capture_output=True
    )
    process = subprocess.Popen(
        command(tiny_preset, sentiment_csv, killed), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    # Epochs have 23 steps, so step 66 is in the middle of the third.
    while newest_step(killed / "checkpoints") < 66:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "metrics.json").exists()

    other = [*command(tiny_preset, sentiment_csv, killed), "--seed=5"]
    refused = subprocess.run(other, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "unfinished run of other settings (seed was 0 and is 5)" in refused.stderr

    resumed = subprocess.run(
        command(tiny_preset, sentiment_csv, killed),
        check=True,
        capture_output=True,
        text=True,
    )
    assert "continuing from step" in resumed.stdout
    weights = [run / "adapter" / "adapter.safetensors" for run in (whole, killed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
