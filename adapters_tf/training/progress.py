"""Progress of a run: what it prints while it trains, and its speed."""

import contextlib
import io
import json
import sys
import time
from typing import Any

import keras
import tensorflow as tf

from adapters_tf.training.trainer import AdapterTrainer

# Between two lines, where stdout is not a terminal.
SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def silent() -> Any:
    """Hide what orbit prints; `Progress` prints instead."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


class Throughput(tf.train.experimental.PythonState):
    """Examples per second over the loops of a run, even of one that is resumed.

    Checkpoints hold it, so a resumed run goes on counting. The first loop of a process
    traces the graph, and counts only until there is another.
    """

    def __init__(self) -> None:
        self._loops = 0
        self._examples = 0.0
        self._seconds = 0.0
        self._traced = False

    @property
    def examples_per_second(self) -> float:
        """Mean over the loops that count; 0 before the first."""
        return self._examples / self._seconds if self._seconds else 0.0

    def update(self, examples: float, seconds: float) -> None:
        """Count a loop.

        Args:
            examples: Number of examples that it trained on.
            seconds: Time that it took.
        """
        traces, self._traced = not self._traced, True
        if traces and self._loops:
            return
        if self._loops == 1:
            # There is a second loop now, so the first no longer counts: it traced the
            # graph, in this process or in one that ended after that loop.
            self._examples = self._seconds = 0.0
        self._loops += 1
        self._examples += examples
        self._seconds += seconds

    def serialize(self) -> str:
        """The counts as text, for a checkpoint."""
        return json.dumps([self._loops, self._examples, self._seconds])

    def deserialize(self, string_value: bytes | str) -> None:
        """Restore the counts that `serialize` gave."""
        self._loops, self._examples, self._seconds = json.loads(string_value)


class Progress:
    """Shows a Keras progress bar on a terminal, and prints lines elsewhere.

    Both show the loss, the speed and the time left in the epoch.

    Args:
        trainer: The trainer that it follows.

    Attributes:
        throughput: Speed of the loops so far; save it in the run's checkpoints.
    """

    def __init__(self, trainer: AdapterTrainer) -> None:
        self._trainer = trainer
        self._stdout = sys.stdout
        self.throughput = Throughput()
        self._clock = 0.0
        self._last_line = 0.0
        self._bar: Any = None

    def begin(self, epoch: int) -> None:
        """Call it before an epoch; the first is epoch 0."""
        config, steps = self._trainer.config, self._trainer.steps_per_epoch
        print(f"Epoch {epoch + 1}/{config.epochs}", flush=True)
        self._first = epoch * steps
        if self._stdout.isatty():
            self._bar = keras.utils.Progbar(
                steps, stateful_metrics=["loss", "examples/s"]
            )
        self._clock = self._last_line = time.perf_counter()

    def update(self, output: dict[str, float]) -> None:
        """Call it after each loop, with what the loop returned (an orbit action)."""
        now = time.perf_counter()
        self.throughput.update(output["examples"], now - self._clock)
        done = int(self._trainer.global_step.numpy()) - self._first
        steps, speed = self._trainer.steps_per_epoch, self.throughput
        with contextlib.redirect_stdout(self._stdout):
            if self._bar is not None:
                values = [
                    ("loss", output["loss"]),
                    ("examples/s", speed.examples_per_second),
                ]
                # With `finalize`, the bar writes its last line once.
                self._bar.update(done, values, finalize=done >= steps)
            elif done >= steps or now - self._last_line >= SECONDS_BETWEEN_LINES:
                self._last_line = now
                rest = (steps - done) * self._trainer.config.batch_size
                print(
                    progress_line(
                        done, steps, output["loss"], speed.examples_per_second, rest
                    ),
                    flush=True,
                )
        self._clock = time.perf_counter()

    def end(self, metrics: dict[str, float]) -> None:
        """Call it with the dev metrics of the epoch."""
        text = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"dev: {text}", flush=True)


def progress_line(
    done: int, steps: int, loss: float, speed: float, examples_left: int
) -> str:
    """Format a line like `step 40/120, loss 0.4312, 96 examples/s, 0:27 left`.

    Args:
        done: Steps done in this epoch.
        steps: Steps of the epoch.
        loss: Mean loss of the last loop.
        speed: Examples per second; 0 if not known yet.
        examples_left: Examples left in the epoch.
    """
    line = f"step {done}/{steps}, loss {loss:.4f}"
    if speed:
        line += f", {speed:.0f} examples/s"
        if done < steps:
            minutes, seconds = divmod(round(examples_left / speed), 60)
            line += f", {minutes}:{seconds:02d} left"
    return line
