"""What a person sees while a run trains."""

import contextlib
import io
import sys
import time
from typing import Any

import keras

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
    """

    def __init__(self, trainer: AdapterTrainer) -> None:
        self._trainer = trainer
        self._stdout = sys.stdout
        self._seconds = 0.0
        self._examples = 0.0
        self._clock = 0.0
        self._loops = 0
        self._loss = 0.0

    @property
    def examples_per_second(self) -> float:
        """Over all loops but the first, which traces the graph."""
        return self._examples / self._seconds if self._seconds else 0.0

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
        elapsed = time.perf_counter() - self._clock
        if self._loops:
            self._seconds += elapsed
            self._examples += output["examples"]
        self._loops += 1
        self._loss = output["loss"]
        done = int(self._trainer.global_step.numpy()) - self._first
        values = [("loss", self._loss)]
        if self._seconds:
            values.append(("examples/s", self.examples_per_second))
        with contextlib.redirect_stdout(self._stdout):
            # The bar's last line is written once, with `finalize`.
            last = done >= self._trainer.steps_per_epoch
            self._bar.update(done, values, finalize=last)
        self._clock = time.perf_counter()

    def end(self, metrics: dict[str, float]) -> None:
        """After the epoch's evaluation."""
        text = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"dev: {text}", flush=True)
