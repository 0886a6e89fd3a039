"""What a person sees while a run trains."""

import contextlib
import io
import sys
import time
from typing import Any

import keras

from adapters_tf.training.throughput import Throughput
from adapters_tf.training.trainer import AdapterTrainer

# Between two lines of a log.
SECONDS_A_LINE = 10.0


@contextlib.contextmanager
def silent() -> Any:
    """Keep orbit's own lines from the output; `Progress` writes ours."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


class Progress:
    """A Keras progress bar on a terminal; elsewhere a line now and then.

    Both show the loss, the speed and the time that the epoch still takes.

    Args:
        trainer: Whose loops it follows.

    Attributes:
        throughput: Of the loops so far; to be saved with the run's checkpoints.
    """

    def __init__(self, trainer: AdapterTrainer) -> None:
        self._trainer = trainer
        self._stdout = sys.stdout
        self.throughput = Throughput()
        self._clock = 0.0
        self._last_line = 0.0
        self._bar: Any = None

    def begin(self, epoch: int) -> None:
        """Before the epoch of this number, from 0."""
        config, steps = self._trainer.config, self._trainer.steps_per_epoch
        print(f"Epoch {epoch + 1}/{config.epochs}", flush=True)
        self._first = epoch * steps
        if self._stdout.isatty():
            self._bar = keras.utils.Progbar(
                steps, stateful_metrics=["loss", "examples/s"]
            )
        self._clock = self._last_line = time.perf_counter()

    def update(self, output: dict[str, float]) -> None:
        """After a loop: an orbit train action."""
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
                # The bar's last line is written once, with `finalize`.
                self._bar.update(done, values, finalize=done >= steps)
            elif done >= steps or now - self._last_line >= SECONDS_A_LINE:
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
        """After the epoch's evaluation."""
        text = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"dev: {text}", flush=True)


def progress_line(
    done: int, steps: int, loss: float, speed: float, examples_left: int
) -> str:
    """A line such as `step 40/120, loss 0.4312, 96 examples/s, 0:27 left`.

    Args:
        done: Steps of the epoch so far.
        steps: Steps of the epoch.
        loss: Mean loss of the last loop.
        speed: Examples a second; 0 if not known yet.
        examples_left: Examples of the epoch that are still to come.
    """
    line = f"step {done}/{steps}, loss {loss:.4f}"
    if speed:
        line += f", {speed:.0f} examples/s"
        if done < steps:
            minutes, seconds = divmod(round(examples_left / speed), 60)
            line += f", {minutes}:{seconds:02d} left"
    return line
