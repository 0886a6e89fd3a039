"""Sweeps, for real on a small base: alone, killed, with workers of which one dies."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from small_data import sentiment_rows

from adapters_tf.bin.sweep import cli
from adapters_tf.errors import UserError
from adapters_tf.study.results import read_results
from adapters_tf.study.run import run_sweep
from adapters_tf.study.sweep import Sweep

PROGRAM = [sys.executable, "-P", "-m", "adapters_tf.bin.sweep"]


# Enough epochs to kill a worker in the midst of a trial.
EPOCHS = 6


@pytest.fixture(scope="module")
def flags(tiny_preset, tmp_path_factory):
    """A sweep of 6 trials, without its output_dir."""
    rows = tmp_path_factory.mktemp("rows") / "rows.csv"
    lines = ["text,label", *(f"{text},{label}" for text, label in sentiment_rows(200))]
    rows.write_text("\n".join(lines) + "\n")
    return [
        f"--preset={tiny_preset}",
        f"--train_file={rows}",
        "--seq_length=16",
        "--methods=adapters,full",
        "--bottleneck_dim=4",
        "--learning_rate=1e-3,1e-2",
        "--batch_size=8",
        "--final_seeds=1",
    ]


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    """What an undisturbed run of the sweep prints, and its scores."""
    output = tmp_path_factory.mktemp("whole") / "out"
    command = [*PROGRAM, *flags, f"--epochs={EPOCHS}", f"--output_dir={output}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, scores(output)


def scores(directory):
    return {r.setting.name: r.score for r in read_results([directory])}


def wait_for(condition, process, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_sweep_goes_on_and_ends_with_the_same_numbers(
    flags, whole, tmp_path, monkeypatch, capsys
):
    stdout, expected = whole
    assert "6/6 rows." in stdout and "6 results in" in stdout
    assert len(expected) == 6
    # The better rate of each method was run with the other seed.
    assert sum(name.endswith("s1") for name in expected) == 2

    killed = tmp_path / "killed"
    again = [*flags, f"--epochs={EPOCHS}", f"--output_dir={killed}"]
    process = subprocess.Popen([*PROGRAM, *again], stdout=subprocess.DEVNULL)
    results = killed / "results.jsonl"
    wait_for(lambda: len(list(killed.glob("trials/*/result.json"))) == 2, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # As if the machine had gone down while the engine wrote its state.
    (killed / "engine" / "oracle.json").write_text('{"ongoing_tri')
    first = results.read_text().splitlines()[0]
    done = subprocess.run([*PROGRAM, *again], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 trials of this directory are done already" in done.stdout
    assert scores(killed) == expected
    # What was done is the same to the byte, times included: it was not run again.
    assert first in results.read_text().splitlines()

    monkeypatch.setattr(sys, "argv", ["adapters-tf-sweep", *again, "--seq_length=12"])
    with pytest.raises(SystemExit) as stop:
        cli()
    assert stop.value.code == 2
    assert "another seq_length than in" in capsys.readouterr().err


@pytest.mark.slow
def test_two_workers_one_killed(flags, whole, tmp_path):
    out = tmp_path / "out"
    command = [*PROGRAM, *flags, f"--epochs={EPOCHS}", f"--output_dir={out}"]
    process = subprocess.Popen(
        [*command, "--workers=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # A worker in the midst of a trial: its run has a checkpoint and no result.
    wait_for(lambda: list(out.glob("trials/*/run/checkpoints/*.index")), process)
    victim = worker_of(process.pid, "worker-1")
    os.kill(victim, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=400)
    assert process.returncode == 0, stderr
    assert "Worker 1 was killed by signal 9; starting it again" in stderr
    found = scores(out)
    assert len(found) == 6
    assert stdout.count(": accuracy") == 6
    # The kill changes no number.
    assert found == whole[1]


def worker_of(pid, name):
    children = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
    )
    for line in children.stdout.splitlines():
        if f"--worker={name}" in line:
            return int(line.split()[0])
    raise AssertionError(children.stdout)


@pytest.mark.slow
def test_sigterm_saves_and_exits_75(flags, tmp_path):
    out = tmp_path / "out"
    command = [*PROGRAM, *flags, "--epochs=300", f"--output_dir={out}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(out.glob("trials/*/run/checkpoints/*.index")), process)
    process.terminate()
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 75 and "start the same command again" in stderr


def test_no_bert_and_adapters_in_one_process(tiny_preset, sentiment_csv, tmp_path):
    file = pathlib.Path(sentiment_csv)
    sweep = Sweep.from_dict(
        {
            "tasks": [{"name": "mine", "train_file": sentiment_csv}],
            "grid": [
                {"method": "no_bert", "epochs": 2},
                {"bottleneck_dim": 4, "epochs": 1, "learning_rate": 1e-2},
            ],
            "preset": tiny_preset,
            "seq_length": 16,
            "baseline_trials": 2,
        }
    )
    results = run_sweep(sweep, str(tmp_path / "out"))
    adapters, baseline = results
    assert adapters.setting.method == "adapters"
    assert adapters.confusion["labels"] == ["neg", "pos"]
    counts = adapters.confusion["counts"]
    right = counts[0][0] + counts[1][1]
    assert adapters.score == pytest.approx(right / sum(map(sum, counts)))
    assert baseline.setting.method == "no_bert" and baseline.base_parameters == 0
    assert baseline.trained_parameters > 0 and baseline.about["hyperparameters"]
    assert baseline.majority_baseline == adapters.majority_baseline
    record = json.loads((tmp_path / "out/results.jsonl").read_text().splitlines()[0])
    assert record["bottleneck_dim"] == 4 and record["task"] == "mine"

    # The same command on other rows does not answer with the old table.
    head, first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([head, first.replace(",", " indeed,", 1), *rest]))
    with pytest.raises(UserError, match="the rows of mine have changed"):
        run_sweep(sweep, str(tmp_path / "out"))


def test_a_run_that_diverges_counts_as_the_majority(
    tiny_preset, sentiment_csv, tmp_path
):
    sweep = Sweep.from_dict(
        {
            "tasks": [{"name": "mine", "train_file": sentiment_csv}],
            "grid": [{"bottleneck_dim": 4, "initializer_stddev": 1e38, "epochs": 1}],
            "preset": tiny_preset,
            "seq_length": 16,
        }
    )
    (result,) = run_sweep(sweep, str(tmp_path / "out"))
    assert result.dev == result.majority_baseline
    assert "Received: NaN or infinity at step" in result.about["diverged"]
    assert result.trained_parameters > 0


def test_what_could_not_be_trained_is_refused_before_anything_is(
    tiny_preset, sentiment_csv, tmp_path
):
    def run(**changes):
        values = {
            "tasks": [{"name": "mine", "train_file": sentiment_csv}],
            "grid": [{"bottleneck_dim": 4}],
            "preset": tiny_preset,
            "seq_length": 16,
        }
        run_sweep(Sweep.from_dict({**values, **changes}), str(tmp_path / "out"))

    with pytest.raises(UserError, match="at most 2, the number of encoder blocks.*=3"):
        run(grid=[{"bottleneck_dim": 4}, {"method": "top_n", "top_n": [1, 3]}])
    missing = [{"train_file": sentiment_csv}, {"train_file": str(tmp_path / "no.csv")}]
    with pytest.raises(UserError, match="no.csv"):
        run(tasks=missing)
    assert not list(tmp_path.glob("out/trials/*/run"))
