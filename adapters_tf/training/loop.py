"""The loop over epochs: train, save checkpoints, evaluate, print and log."""

import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import orbit
import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.tasks.base import Prepared
from adapters_tf.training.checkpoints import (
    checkpoint_manager,
    find_checkpoints,
    remove_unlisted,
    restore_newest,
)
from adapters_tf.training.predict import Evaluator
from adapters_tf.training.run_dir import CHECKPOINT_DIR, TENSORBOARD_DIR, History
from adapters_tf.training.trainer import AdapterTrainer, LossIsNotFinite
from adapters_tf.training.workers import (
    Stopped,
    StopSignal,
    leave_together,
    sum_over_workers,
)

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


class TrainLoop:
    """Trains from the newest checkpoint to the last step.

    Args:
        trainer: The trainer.
        evaluator: Evaluates the model on the dev rows after each epoch.
        dev: The dev rows.
        directory: The run's directory, for checkpoints, logs and the history.
        save_best: Called in the chief with the dev metrics of an epoch, if it is the
            best so far.
        chief: Whether this process writes to the directory; the others read it.

    Attributes:
        progress: What the run prints, and its speed.
    """

    def __init__(
        self,
        trainer: AdapterTrainer,
        evaluator: Evaluator,
        dev: Prepared,
        directory: Path,
        save_best: Callable[[dict[str, float]], None],
        chief: bool = True,
    ) -> None:
        self._trainer = trainer
        self._evaluator = evaluator
        self._dev = dev
        self._directory = directory
        self._chief = chief
        self._save_best = save_best
        self.progress = Progress(trainer)
        self._stop = StopSignal()

    def run(self) -> History:
        """Train to the last step.

        Returns:
            The dev metrics of all epochs.

        Raises:
            Stopped: A SIGTERM came; a checkpoint was saved.
            LossIsNotFinite: Training diverged.
        """
        with tempfile.TemporaryDirectory() as scratch, self._stop:
            return self._run(scratch)

    def _run(self, scratch: str) -> History:
        trainer = self._trainer
        config, spe = trainer.config, trainer.steps_per_epoch
        checkpoint = trainer.checkpoint()
        checkpoint.throughput = self.progress.throughput
        shared = str(self._directory / CHECKPOINT_DIR)
        # Check before restoring, which takes collective operations: workers that find
        # different files would wait for each other in different operations.
        self._check_same_step(max(map(_step_of, find_checkpoints(shared)), default=0))
        restored = restore_newest(checkpoint, shared)
        done = int(trainer.global_step.numpy())
        # TensorFlow needs every process to save, each to a directory of its own.
        own = shared if self._chief else scratch
        manager = checkpoint_manager(
            checkpoint, own, trainer.global_step, config.checkpoint_interval
        )
        logs = str(self._directory / TENSORBOARD_DIR) if self._chief else None
        with silent():
            controller = orbit.Controller(
                global_step=trainer.global_step,
                trainer=trainer,
                steps_per_loop=config.steps_per_loop,
                summary_dir=logs,
                summary_interval=config.steps_per_loop if logs else None,
                train_actions=[self.progress.update, lambda _: self._stop_if_asked()],
            )
            # Set only now: the constructor would restore the newest listed checkpoint,
            # which `restore_newest` may have found damaged.
            controller.checkpoint_manager = manager
        if restored:
            print(f"continuing from step {done} of {trainer.total_steps}", flush=True)
        history = History(self._directory, self._chief, done // spe)
        try:
            # The first may be trained already, by a process killed before it evaluated.
            for epoch in range(len(history.epochs), config.epochs):
                end = (epoch + 1) * spe
                if int(trainer.global_step.numpy()) < end:
                    self.progress.begin(epoch)
                    with silent():
                        controller.train(steps=end)
                self._evaluate(history, controller, epoch)
        except Stopped:
            newest = manager.latest_checkpoint
            if not newest or int(trainer.global_step.numpy()) != _step_of(newest):
                manager.save(trainer.global_step.numpy(), check_interval=False)
            leave_together(trainer.strategy)
            raise
        except LossIsNotFinite:
            leave_together(trainer.strategy)
            raise
        remove_unlisted(manager)
        return history

    def _evaluate(
        self, history: History, controller: orbit.Controller, epoch: int
    ) -> None:
        found = self._evaluator.evaluate(self._dev)
        scores = found.metrics
        self.progress.end(scores)
        step = int(self._trainer.global_step.numpy())
        if self._chief:
            summaries = controller.summary_manager
            summaries.write_summaries({"dev": scores})
            summaries.flush()
            if history.is_best(scores):
                self._save_best(scores)
        entry: dict[str, Any] = {"epoch": epoch + 1, "step": step, "dev": scores}
        if found.confusion:
            entry["confusion"] = found.confusion
        history.add(entry)
        if step < self._trainer.total_steps:
            self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        # All workers stop at the same step, whichever got the signal.
        if sum_over_workers(self._trainer.strategy, float(self._stop.received)):
            raise Stopped(
                f"The run was asked to stop (SIGTERM) and did so at step "
                f"{int(self._trainer.global_step.numpy())} of "
                f"{self._trainer.total_steps}. Its state is saved: start the same "
                "command again to go on."
            )

    def _check_same_step(self, step: int) -> None:
        strategy = self._trainer.strategy
        total = sum_over_workers(strategy, float(step))
        differs = total != step * sum_over_workers(strategy, 1.0)
        # Share the verdict: a worker whose step is the mean sees no difference itself.
        if sum_over_workers(strategy, float(differs)):
            leave_together(strategy)
            raise UserError(
                "All workers must see the same output_dir, on a file system that they "
                f"share. Received: a worker that found step {step} there, and others "
                "that found another."
            )


def _step_of(path: str) -> int:
    return int(path.rsplit("-", 1)[1])
