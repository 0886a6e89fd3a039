"""Examples per second, over a run that is stopped and continued."""

import json

import pytest
import tensorflow as tf

from adapters_tf.bin import train
from adapters_tf.training.throughput import Throughput


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
