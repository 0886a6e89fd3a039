"""Training to the last step: epochs, checkpoints, what is shown and kept."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orbit

from adapters_tf.errors import UserError
from adapters_tf.tasks.base import Prepared
from adapters_tf.training.checkpoints import (
    checkpoint_manager,
    find_checkpoints,
    remove_unlisted,
    restore_newest,
)
from adapters_tf.training.evaluate import Evaluator
from adapters_tf.training.history import History
from adapters_tf.training.lost_worker import say_goodbye
from adapters_tf.training.progress import Progress, silent
from adapters_tf.training.run_dir import CHECKPOINT_DIR, TENSORBOARD_DIR
from adapters_tf.training.stop_signal import Stopped, StopSignal
from adapters_tf.training.strategy import sum_over_workers
from adapters_tf.training.trainer import AdapterTrainer, LossIsNotFinite


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a process writes.

    Attributes:
        directory: The run's directory.
        chief: Whether this process writes there; the others read it.
    """

    directory: Path
    chief: bool = True


class TrainLoop:
    """Trains from the newest checkpoint to the last step.

    Args:
        trainer: The trainer.
        evaluator: Measures the dev rows after each epoch.
        dev: These rows.
        place: Where checkpoints, logs and the history go.
        save_best: Called with the dev metrics of an epoch that is the best so far,
            in the process that writes.
    """

    def __init__(
        self,
        trainer: AdapterTrainer,
        evaluator: Evaluator,
        dev: Prepared,
        place: Place,
        save_best: Callable[[dict[str, float]], None],
    ) -> None:
        self._trainer = trainer
        self._evaluator = evaluator
        self._dev = dev
        self._place = place
        self._save_best = save_best
        self.progress = Progress(trainer)
        self._stop = StopSignal()

    def run(self) -> History:
        """Train; returns the metrics of all epochs.

        Raises:
            Stopped: if SIGTERM came; the state was saved.
            LossIsNotFinite: if training diverged.
        """
        with tempfile.TemporaryDirectory() as scratch, self._stop:
            return self._run(scratch)

    def _run(self, scratch: str) -> History:
        trainer, place = self._trainer, self._place
        config, spe = trainer.config, trainer.steps_per_epoch
        checkpoint = trainer.checkpoint()
        checkpoint.throughput = self.progress.throughput
        shared = str(place.directory / CHECKPOINT_DIR)
        # Before restoring, for which the workers talk: of two that find different
        # files, one would wait for an answer to another question.
        self._check_same_step(max(map(_step_of, find_checkpoints(shared)), default=0))
        restored = restore_newest(checkpoint, shared)
        done = int(trainer.global_step.numpy())
        # TensorFlow wants every process to save, each to a place of its own.
        own = shared if place.chief else scratch
        manager = checkpoint_manager(
            checkpoint, own, trainer.global_step, config.checkpoint_interval
        )
        logs = str(place.directory / TENSORBOARD_DIR) if place.chief else None
        with silent():
            controller = orbit.Controller(
                global_step=trainer.global_step,
                trainer=trainer,
                steps_per_loop=config.steps_per_loop,
                summary_dir=logs,
                summary_interval=config.steps_per_loop if logs else None,
                train_actions=[self.progress.update, lambda _: self._stop_if_asked()],
            )
            # Not given above: orbit would restore the newest that is listed, which
            # may be the one that was passed over.
            controller.checkpoint_manager = manager
        if restored:
            print(f"continuing from step {done} of {trainer.total_steps}", flush=True)
        history = History(place.directory, place.chief, done // spe)
        try:
            # An epoch that was trained, and then killed before it was measured.
            for epoch in range(len(history.epochs), config.epochs):
                end = (epoch + 1) * spe
                if int(trainer.global_step.numpy()) < end:
                    self.progress.begin(epoch)
                    with silent():
                        controller.train(steps=end)
                self._measure(history, controller, epoch)
        except Stopped:
            newest = manager.latest_checkpoint
            if not newest or int(trainer.global_step.numpy()) != _step_of(newest):
                manager.save(trainer.global_step.numpy(), check_interval=False)
            say_goodbye(trainer.strategy)
            raise
        except LossIsNotFinite:
            say_goodbye(trainer.strategy)
            raise
        remove_unlisted(manager)
        return history

    def _measure(
        self, history: History, controller: orbit.Controller, epoch: int
    ) -> None:
        found = self._evaluator.evaluate(self._dev)
        scores = found.metrics
        self.progress.end(scores)
        step = int(self._trainer.global_step.numpy())
        if self._place.chief:
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
        # All workers stop at the same step, whichever was asked.
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
        # Of three, one may be the mean of the others; all leave, or none.
        if sum_over_workers(strategy, float(differs)):
            say_goodbye(strategy)
            raise UserError(
                "All workers must see the same output_dir, on a file system that they "
                f"share. Received: a worker that found step {step} there, and others "
                "that found another."
            )


def _step_of(path: str) -> int:
    return int(path.rsplit("-", 1)[1])
