"""What is seen of a run: on a terminal, in a log and in TensorBoard."""

import io
import json
import re
import time
import types

import pytest
import tensorflow as tf

from adapters_tf.bin import train
from adapters_tf.training import loop as train_loop
from adapters_tf.training.config import TrainConfig
from adapters_tf.training.loop import Progress, Throughput, progress_line

pytestmark = pytest.mark.usefixtures("runs_share_models")


@pytest.mark.parametrize(
    ("done", "speed", "left", "line"),
    [
        (40, 96.0, 2592, "step 40/120, loss 0.4312, 96 examples/s, 0:27 left"),
        (40, 0.5, 61, "step 40/120, loss 0.4312, 0 examples/s, 2:02 left"),
        (40, 0.0, 2592, "step 40/120, loss 0.4312"),
        (120, 96.0, 0, "step 120/120, loss 0.4312, 96 examples/s"),
    ],
)
def test_progress_line(done, speed, left, line):
    assert progress_line(done, 120, 0.43123, speed, left) == line


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Run:
    """Loops of 4 steps of 8 rows, a second each, of an epoch of 12 steps."""

    def __init__(self, monkeypatch, stdout):
        self.now = 100.0
        clock = types.SimpleNamespace(perf_counter=lambda: self.now)
        monkeypatch.setattr(train_loop, "time", clock)
        monkeypatch.setattr("sys.stdout", stdout)
        self.step = tf.Variable(0, dtype=tf.int64)
        trainer = types.SimpleNamespace(
            config=TrainConfig(epochs=2, batch_size=8),
            steps_per_epoch=12,
            global_step=self.step,
        )
        self.progress = Progress(trainer)

    def loop(self, loss, seconds=1.0):
        self.now += seconds
        self.step.assign_add(4)
        self.progress.update({"loss": loss, "examples": 32.0})


def test_bar_on_a_terminal(monkeypatch):
    screen = Terminal()
    run = Run(monkeypatch, screen)
    run.progress.begin(0)
    run.loop(0.75)
    time.sleep(0.1)  # Keras draws no more often than 20 times a second.
    run.loop(0.5)
    shown = re.sub(r"\x1b\[[0-9;]*m|\x08", "", screen.getvalue())
    assert shown.startswith("Epoch 1/2\n")
    # The place, the time that is left, the speed of the loops but the first, the
    # loss of the last one.
    last = shown.replace("\r", "\n").strip().split("\n")[-1]
    assert re.search(r"\b8/12 .* \d+s .*loss: 0\.5000 - examples/s: 32\.0000", last)


def test_lines_elsewhere(monkeypatch):
    log = io.StringIO()
    run = Run(monkeypatch, log)
    run.progress.begin(0)
    for seconds in (1, 2, 8):
        run.loop(0.5, seconds)
    run.progress.end({"accuracy": 0.75, "macro_f1": 0.5})
    # None before ten seconds have gone; one at the end in any case.
    assert log.getvalue() == (
        "Epoch 1/2\nstep 12/12, loss 0.5000, 6 examples/s\n"
        "dev: accuracy 0.7500, macro_f1 0.5000\n"
    )
    run.progress.begin(1)
    run.loop(0.25, 11)
    assert log.getvalue().endswith(
        "Epoch 2/2\nstep 4/12, loss 0.2500, 5 examples/s, 0:14 left\n"
    )


def scalars(directory):
    """Tag -> {step: value} of the TensorBoard files of a directory."""
    found = {}
    for path in directory.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                number = float(tf.make_ndarray(value.tensor))
                found.setdefault(value.tag, {})[event.step] = number
    return found


def test_of_a_run(tiny_preset, sentiment_csv, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    args = ["--bottleneck_dim=4", "--seq_length=16", "--batch_size=16", "--epochs=2"]
    args += [f"--preset={tiny_preset}", f"--train_file={sentiment_csv}"]
    args += ["--steps_per_loop=4", "--learning_rate=0.01", f"--output_dir={run}"]
    monkeypatch.setattr("sys.argv", ["train", *args])
    train.cli()
    printed = capsys.readouterr().out
    for epoch in (1, 2):
        assert re.search(
            # A slow machine shows earlier steps as well.
            rf"^Epoch {epoch}/2\n(?:step .*\n)*step 12/12, "
            r"loss \d\.\d{4}, \d+ examples/s\n"
            r"dev: accuracy 0\.\d{4}, ",
            printed,
            re.MULTILINE,
        )
    # The summary.
    metrics = json.loads((run / "metrics.json").read_text())
    last = (
        f"24 steps, {metrics['examples_per_second']:.0f} examples/s; adapter in {run}"
    )
    assert last in printed
    assert f"accuracy {metrics['dev']['accuracy']:>11.4f}" in printed

    trained = scalars(run / "tensorboard")
    assert {"loss", "learning_rate", "steps_per_second"} <= set(trained)
    assert set(trained["loss"]) == {4, 8, 12, 16, 20, 24}
    # Of update 24 of 24, 2 of which are the warm-up: a 22nd of the peak.
    assert trained["learning_rate"][24] == pytest.approx(0.01 / 22)
    history = json.loads((run / "history.json").read_text())["epochs"]
    dev = scalars(run / "tensorboard" / "dev")
    assert dev["accuracy"] == pytest.approx(
        {epoch["step"]: epoch["dev"]["accuracy"] for epoch in history}
    )


# === Throughput ===


def counted(*loops, before=None):
    """The throughput after loops of (examples, seconds) in a process of its own."""
    throughput = Throughput()
    if before is not None:
        throughput.deserialize(before.serialize())
    for loop in loops:
        throughput.update(*loop)
    return throughput


TRACING, LOOP, SLOWER = (10.0, 5.0), (10.0, 0.1), (10.0, 0.3)


@pytest.mark.parametrize(
    "parts, expected",
    [
        ([[]], 0),
        ([[TRACING]], 2),
        ([[TRACING, LOOP]], 100),
        ([[TRACING, LOOP, SLOWER]], 50),
        # Continued: with nothing left to do, with one loop, with more.
        ([[TRACING, LOOP], []], 100),
        ([[TRACING, LOOP], [TRACING]], 100),
        ([[TRACING, LOOP], [TRACING, SLOWER]], 50),
        ([[TRACING, LOOP, LOOP], [], [TRACING, (10.0, 0.2)]], 75),
        ([[TRACING], [TRACING]], 2),
        ([[TRACING], [TRACING, LOOP]], 100),
        ([[TRACING], [TRACING, LOOP], [TRACING, SLOWER]], 50),
    ],
)
def test_loops_that_trace_do_not_count(parts, expected):
    throughput = None
    for part in parts:
        throughput = counted(*part, before=throughput)
    assert throughput.examples_per_second == pytest.approx(expected)


def test_is_in_the_checkpoint(tmp_path):
    path = tf.train.Checkpoint(x=counted(TRACING, LOOP)).save(str(tmp_path / "c"))
    restored = Throughput()
    tf.train.Checkpoint(x=restored).restore(path).assert_consumed()
    assert restored.examples_per_second == pytest.approx(100)


@pytest.mark.parametrize("epochs", [1, 3])
def test_run_continued_after_its_last_checkpoint(
    tiny_preset, sentiment_csv, tmp_path, monkeypatch, capsys, epochs
):
    run = tmp_path / "run"
    args = ["--bottleneck_dim=4", "--seq_length=16", "--batch_size=16"]
    args += [f"--preset={tiny_preset}", f"--train_file={sentiment_csv}"]
    args += [f"--epochs={epochs}", f"--output_dir={run}"]
    monkeypatch.setattr("sys.argv", ["train", *args])
    train.cli()
    whole = json.loads((run / "metrics.json").read_text())
    assert whole["examples_per_second"] > 0  # one loop only, with one epoch
    (run / "metrics.json").unlink()  # as if it had been killed at the very end
    capsys.readouterr()
    train.cli()
    steps = 12 * epochs
    assert f"continuing from step {steps} of {steps}" in capsys.readouterr().out
    again = json.loads((run / "metrics.json").read_text())
    assert again["examples_per_second"] == whole["examples_per_second"]
