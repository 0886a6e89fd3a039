"""The learning rate of a run, in variables, so that another run can follow."""

from typing import Any

import keras
import tensorflow as tf

from adapters_tf.models.optimizer import LinearWarmupDecay, linear_warmup_decay


class RunSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """`LinearWarmupDecay` that `begin` sets, under a step that is traced already."""

    def __init__(self) -> None:
        self._values = LinearWarmupDecay(0.0, 1, 0)
        self._variables = {
            name: tf.Variable(value, trainable=False, dtype=tf.float32)
            for name, value in self._values.get_config().items()
        }

    def begin(self, peak: float, total_steps: int, warmup_steps: int) -> None:
        """Set the schedule of a run; see `LinearWarmupDecay`."""
        self._values = LinearWarmupDecay(peak, total_steps, warmup_steps)
        for name, value in self._values.get_config().items():
            self._variables[name].assign(value)

    def __call__(self, step: Any) -> Any:
        return linear_warmup_decay(step, **self._variables)

    def get_config(self) -> dict[str, Any]:
        return self._values.get_config()
