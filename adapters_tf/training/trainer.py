"""The train loop: orbit's, on tf.distribute, around the shared train step."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orbit
import tensorflow as tf

from adapters_tf.data.batches import steps_per_epoch, train_batches
from adapters_tf.data.features import Features
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.optimizer import LinearWarmupDecay, create_optimizer
from adapters_tf.models.train_step import train_step
from adapters_tf.training.config import TrainConfig


class LossIsNotFinite(UserError):
    """Training diverged; the last checkpoint is from before."""


class AdapterTrainer(orbit.StandardTrainer):
    """Trains `model.trainable_variables` on `features`.

    The data order is a pure function of (seed, step) and the dropout of (seed,
    step, row), so a trainer that is made anew, with its variables restored,
    goes on as if it had never stopped.

    Args:
        model: The model; this compiles it with the reference's optimizer.
        features: Tokenised, labelled training rows.
        config: The run's settings.
    """

    def __init__(
        self, model: AdapterModel, features: Features, config: TrainConfig
    ) -> None:
        self.steps_per_epoch = steps_per_epoch(len(features), config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        warmup_steps = round(self.total_steps * config.warmup_proportion)
        schedule = LinearWarmupDecay(
            config.learning_rate, self.total_steps, warmup_steps
        )
        model.compile(
            create_optimizer(model.trainable_variables, schedule, config.weight_decay),
            seed=config.seed,
            clip_norm=config.clip_norm,
        )
        self.model = model
        self.features = features
        self.config = config
        self.global_step = model.optimizer.iterations.value
        self._strategy = tf.distribute.get_strategy()
        self._loss_sum = tf.Variable(0.0, trainable=False)
        self._weight_sum = tf.Variable(0.0, trainable=False)
        self._last_step = 0
        self._start_step: int | None = None
        super().__init__(self._dataset())

    def checkpoint(self) -> tf.train.Checkpoint:
        """Exactly what training changes: trained variables and optimizer."""
        return tf.train.Checkpoint(
            trained={v.path: v.value for v in self.model.trainable_variables},
            optimizer={
                f"{i}": v.value for i, v in enumerate(self.model.optimizer.variables)
            },
        )

    def _dataset(self) -> tf.data.Dataset:
        y = self.features.labels
        inputs = tf.TensorSpec([None, None], tf.int32)
        names = ("token_ids", "segment_ids", "padding_mask")
        spec = (
            {name: inputs for name in names},
            tf.TensorSpec([None, *y.shape[1:]], y.dtype),
        )
        data = tf.data.Dataset.from_generator(self._batches, output_signature=spec)
        return data.prefetch(4)

    def _batches(self) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        # tf.data calls this from a thread of its own while the first step is
        # already running, so it must not read the step's variable.
        epoch, done = divmod(self._start_step, self.steps_per_epoch)
        while epoch < self.config.epochs:
            batches = train_batches(
                self.features.lengths, self.config.batch_size, self.config.seed, epoch
            )
            for rows in batches[done:]:
                yield self.features.batch(rows), self.features.labels[rows]
            epoch, done = epoch + 1, 0

    def train_loop_begin(self) -> None:
        self._last_step = int(self.global_step.numpy())
        if self._start_step is None:
            self._start_step = self._last_step
        self._loss_sum.assign(0.0)
        self._weight_sum.assign(0.0)

    def train_step(self, iterator: Any) -> None:
        def replica_step(x: Any, y: Any) -> tuple[Any, Any]:
            return train_step(
                self.model,
                x,
                y,
                None,
                seed=self.config.seed,
                step=self.global_step,
                clip_norm=self.config.clip_norm,
            )[1:]

        sums = self._strategy.run(replica_step, args=next(iterator))
        loss_sum, weight_sum = (
            self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for value in sums
        )
        self._loss_sum.assign_add(loss_sum)
        self._weight_sum.assign_add(weight_sum)

    def train_loop_end(self) -> dict[str, float]:
        loss = float(self._loss_sum / self._weight_sum)
        if not np.isfinite(loss):
            raise LossIsNotFinite(
                "The training loss must stay finite. Received: loss="
                f"{loss} between steps {self._last_step + 1} and "
                f"{int(self.global_step.numpy())} of {self.total_steps}. A lower "
                f"--learning_rate than {self.config.learning_rate} may help."
            )
        return {"loss": loss, "examples": float(self._weight_sum)}
