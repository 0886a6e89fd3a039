"""What a person sees while a run trains."""

import contextlib
import io
import sys
import time
from typing import Any

import keras

from adapters_tf.training.throughput import Throughput
from adapters_tf.training.trainer import AdapterTrainer


@contextlib.contextmanager
def silent() -> Any:
    """Keep orbit's own lines from the output; `Progress` writes ours."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


class Progress:
    """A Keras progress bar on a terminal, a line an epoch elsewhere.

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
        self._loss = 0.0

    def begin(self, epoch: int) -> None:
        """Before the epoch of this number, from 0."""
        config, steps = self._trainer.config, self._trainer.steps_per_epoch
        print(f"Epoch {epoch + 1}/{config.epochs}", flush=True)
        self._first = epoch * steps
        verbose = 1 if self._stdout.isatty() else 2
        self._bar = keras.utils.Progbar(
            steps, verbose=verbose, stateful_metrics=["loss", "examples/s"]
        )
        self._clock = time.perf_counter()

    def update(self, output: dict[str, float]) -> None:
        """After a loop: an orbit train action."""
        seconds = time.perf_counter() - self._clock
        self.throughput.update(output["examples"], seconds)
        self._loss = output["loss"]
        done = int(self._trainer.global_step.numpy()) - self._first
        speed = self.throughput.examples_per_second
        values = [("loss", self._loss), ("examples/s", speed)]
        with contextlib.redirect_stdout(self._stdout):
            # The bar's last line is written once, with `finalize`.
            last = done >= self._trainer.steps_per_epoch
            self._bar.update(done, values, finalize=last)
        self._clock = time.perf_counter()

    def end(self, metrics: dict[str, float]) -> None:
        """After the epoch's evaluation."""
        text = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"dev: {text}", flush=True)
