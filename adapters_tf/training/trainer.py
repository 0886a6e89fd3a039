"""The trainer: orbit's train loop on tf.distribute, around the shared train step."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import orbit
import tensorflow as tf

from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.data.batches import steps_per_epoch, train_batches
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import ModelInputs, padded_length
from adapters_tf.models.optimizer import (
    LinearWarmupDecay,
    create_optimizer,
    linear_warmup_decay,
)
from adapters_tf.models.train_step import train_step
from adapters_tf.models.trainable_set import check_trainable_set
from adapters_tf.training.config import TrainConfig
from adapters_tf.training.devices import is_tpu, split_rows

_XLA_MULTIPLE = 32  # of tokens; few shapes to compile


class LossIsNotFinite(UserError):
    """Training diverged. The checkpoints are from before that."""


def step_constants(config: TrainConfig) -> dict[str, Any]:
    """The settings that the traced train step contains: all its runs share them."""
    names = ("weight_decay", "clip_norm", "jit_compile")
    return {name: getattr(config, name) for name in names}


class RunSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """`LinearWarmupDecay` whose values can change after the step was traced."""

    def __init__(self) -> None:
        self._values = LinearWarmupDecay(0.0, 1, 0)
        self._variables = {
            name: tf.Variable(value, trainable=False, dtype=tf.float32)
            for name, value in self._values.get_config().items()
        }

    def begin(self, peak: float, total_steps: int, warmup_steps: int) -> None:
        """Set the schedule of the next run; see `LinearWarmupDecay`."""
        self._values = LinearWarmupDecay(peak, total_steps, warmup_steps)
        for name, value in self._values.get_config().items():
            self._variables[name].assign(value)

    def __call__(self, step: Any) -> Any:
        return linear_warmup_decay(step, **self._variables)

    def get_config(self) -> dict[str, Any]:
        return self._values.get_config()


class AdapterTrainer(orbit.StandardTrainer):
    """Trains `model.trainable_variables` on labelled rows.

    Create it in the scope of the strategy that the model was created in. The order of
    the rows is a pure function of (seed, step), and dropout of (seed, step, row). So
    any number of replicas trains to the same weights, and a new trainer with restored
    variables goes on as if training had never stopped.

    Args:
        model: The model; the trainer compiles it with the reference's optimizer.
        features: Labelled training rows, the same in every process.
        config: Settings of the run.

    Raises:
        UserError: if the model's layers were frozen, unfrozen or quantized by hand.

    Attributes:
        model: The model.
        features: The training rows.
        config: Settings of the run.
        global_step: TensorFlow variable with the number of steps done.
        strategy: The strategy in whose scope it was created.
        steps_per_epoch: Number of steps of an epoch.
        total_steps: Number of steps of the run.
    """

    def __init__(
        self,
        model: AdapterModel,
        features: ModelInputs,
        config: TrainConfig,
    ) -> None:
        require_tensorflow_backend("AdapterTrainer")
        self._schedule = RunSchedule()
        optimizer = create_optimizer(
            model.trainable_variables, self._schedule, config.weight_decay
        )
        model.compile(optimizer, seed=config.seed, clip_norm=config.clip_norm)
        self.model = model
        self._prefix = features.prefix
        self._positions = getattr(model.backbone, "max_sequence_length", None)
        self.global_step = model.optimizer.iterations.value
        self.strategy = tf.distribute.get_strategy()
        # A TPU takes batches of one shape, and compiles the whole step anyway.
        self._static = is_tpu(self.strategy)
        self._jit_compile = config.jit_compile and not self._static
        self._seed = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._loss_sum = tf.Variable(0.0, trainable=False)
        self._weight_sum = tf.Variable(0.0, trainable=False)
        self._bad_step = tf.Variable(-1, trainable=False, dtype=tf.int64)
        self._weights_are_finite = tf.function(self._check_weights, autograph=False)
        self._set_run(features, config)
        super().__init__(self._input())

    def takes(self, features: ModelInputs) -> bool:
        """Whether the traced step can read these rows."""
        return features.prefix is self._prefix

    def restart(self, features: ModelInputs, config: TrainConfig) -> None:
        """Prepare another run of the same model without a new trace.

        Resets the optimizer, and leaves the model's weights as they are.

        Args:
            features: Labelled training rows that the trainer `takes`.
            config: Settings with the same `step_constants`.

        Raises:
            ValueError: TensorFlow would have to trace the step again.
        """
        if not self.takes(features):
            raise ValueError(
                "A trainer can start another run with rows like those of the first: "
                "tokens, or hidden states of the same model. Received: other rows"
            )
        if self._static or step_constants(config) != step_constants(self.config):
            raise ValueError(
                "A trainer can start another run with other rows, rates, epochs and "
                "seeds, and not on a TPU. Received: "
                f"{step_constants(config)} after {step_constants(self.config)}"
            )
        # The step and the moments. The learning rate is in the schedule.
        for variable in self.model.optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))
        self._set_run(features, config)
        self.train_dataset = self._input()

    def _set_run(self, features: ModelInputs, config: TrainConfig) -> None:
        if features.labels is None:
            raise ValueError("Rows to train on must have labels. Received: labels=None")
        check_trainable_set(self.model)
        self.features = features
        self._labels = features.labels
        self.config = config
        self.steps_per_epoch = steps_per_epoch(len(features), config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self._schedule.begin(
            config.learning_rate,
            self.total_steps,
            round(self.total_steps * config.warmup_proportion),
        )
        self._seed.assign(config.seed)
        self._bad_step.assign(-1)
        self._last_step = 0
        self._start_step: int | None = None

    def checkpoint(self) -> tf.train.Checkpoint:
        """A checkpoint of what training changes: trained variables and optimizer."""
        return tf.train.Checkpoint(
            trained={v.path: v.value for v in self.model.trainable_variables},
            optimizer={
                f"{i}": v.value for i, v in enumerate(self.model.optimizer.variables)
            },
        )

    # === Batches ===

    def _input(self) -> Any:
        if self.strategy.num_replicas_in_sync == 1 and not self._static:
            # tf.distribute would wrap the dataset without its options (see below).
            return self._dataset(tf.distribute.InputContext())
        return self.strategy.distribute_datasets_from_function(self._dataset)

    def _dataset(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """The batches of this process's replicas, one replica after another."""
        replicas = context.num_replicas_in_sync
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local
        y = self._labels
        shape: list[int | None] = [None, None]
        if self._static:
            rows = -(-self.config.batch_size // replicas)
            shape = [rows, self._longest()]
        spec = (
            self.features.specs(*shape),
            tf.TensorSpec([shape[0], *y.shape[1:]], y.dtype),
            tf.TensorSpec(shape[:1], tf.float32),
        )
        data = tf.data.Dataset.from_generator(
            lambda: self._replica_batches(replicas, range(first, first + local)),
            output_signature=spec,
        )
        options = tf.data.Options()
        # There is nothing to tune, and the tuning threads can delay the exit of a
        # process with many runs by minutes.
        options.autotune.enabled = False
        return data.prefetch(4 * local).with_options(options)

    def _replica_batches(self, replicas: int, mine: range) -> Iterator[tuple[Any, ...]]:
        size = None
        if self._static or self._jit_compile:
            size = -(-self.config.batch_size // replicas)
        for rows in self._batches():
            length = self._padded_length(rows)
            rows_of, weights = split_rows(rows, replicas, size)
            for replica in mine:
                own = rows_of[replica]
                x = self.features.batch(own, length=length)
                yield x, self._labels[own], weights[replica]

    def _batches(self) -> Iterator[np.ndarray]:
        # tf.data calls this in a thread of its own, when the first step may already
        # be running: do not read the variable of the step here.
        assert self._start_step is not None
        epoch, done = divmod(self._start_step, self.steps_per_epoch)
        while epoch < self.config.epochs:
            batches = train_batches(
                self.features.lengths, self.config.batch_size, self.config.seed, epoch
            )
            yield from batches[done:]
            epoch, done = epoch + 1, 0

    def _padded_length(self, rows: np.ndarray) -> int:
        """The padded length of the global batch, which all replicas use."""
        if self._static:
            return self._longest()
        multiple = _XLA_MULTIPLE if self._jit_compile else 8
        return padded_length(self.features.lengths[rows], multiple, self._positions)

    def _longest(self) -> int:
        return padded_length(self.features.lengths, most=self._positions)

    # === Steps ===

    def train_loop_begin(self) -> None:
        self._last_step = int(self.global_step.numpy())
        if self._start_step is None:
            self._start_step = self._last_step
        self._loss_sum.assign(0.0)
        self._weight_sum.assign(0.0)

    def replica_step(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any]:
        """One step of one replica; see `adapters_tf.models.train_step`."""
        return train_step(
            self.model,
            x,
            y,
            weight,
            seed=self._seed,
            step=self.global_step,
            clip_norm=self.config.clip_norm,
            jit_compile=self._jit_compile,
            forward=self._prefix.upper if self._prefix else None,
        )[1:]

    # Nothing in it needs AutoGraph, which takes seconds to rewrite all that it calls.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, iterator: Any) -> None:
        sums = self.strategy.run(self.replica_step, args=next(iterator))
        loss_sum, weight_sum = (
            self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for value in sums
        )
        self._loss_sum.assign_add(loss_sum)
        self._weight_sum.assign_add(weight_sum)
        step = tf.cast(self.global_step, tf.int64)
        first = tf.logical_and(self._bad_step < 0, ~tf.math.is_finite(loss_sum))
        self._bad_step.assign(tf.where(first, step, self._bad_step))

    def train_loop_end(self) -> dict[str, float]:
        step = int(self.global_step.numpy())
        bad = int(self._bad_step.numpy())
        if bad < 0 and not bool(self._weights_are_finite()):
            # The last step computed its loss before it updated the weights.
            bad = step
        if bad >= 0:
            raise LossIsNotFinite(
                "The training loss and the weights must stay finite. Received: NaN or "
                f"infinity at step {bad} of {self.total_steps}. The checkpoints are "
                "from before. A lower --learning_rate than "
                f"{self.config.learning_rate} may help, with another output_dir or "
                "--overwrite."
            )
        examples = float(self._weight_sum.numpy())
        return {
            "loss": float(self._loss_sum.numpy()) / examples,
            "examples": examples,
            "learning_rate": float(self._schedule(step - 1)),
        }

    def _check_weights(self) -> tf.Tensor:
        return tf.reduce_all(
            [
                tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(v.value)))
                for v in self.model.trainable_variables
            ]
        )
