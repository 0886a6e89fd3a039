"""AdamW and its schedule, as in the reference code's `optimization.py`."""

import re
from typing import Any

import keras
from keras import ops

_NOT_DECAYED = re.compile(r"(bias|gamma|beta)$")


@keras.saving.register_keras_serializable(package="adapters_tf")
class LinearWarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 over the warm-up, then linear to 0 at the last step.

    Section 3.1 of the paper: 10% of the steps warm up. Keras's own schedules
    warm up only in `CosineDecay`.

    Args:
        peak: Learning rate at the end of the warm-up.
        total_steps: Number of steps of the run.
        warmup_steps: Number of steps of the warm-up.
    """

    def __init__(self, peak: float, total_steps: int, warmup_steps: int) -> None:
        if not 0 <= warmup_steps <= total_steps or total_steps < 1:
            raise ValueError(
                "warmup_steps must be from 0 to total_steps, and total_steps at "
                f"least 1. Received: warmup_steps={warmup_steps}, "
                f"total_steps={total_steps}"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        # The update numbered `step` from 0 is the (step + 1)th: the first one
        # already learns, the last one has the smallest rate above zero.
        done = ops.cast(step, "float32")
        warmup = (done + 1.0) / max(1, self.warmup_steps)
        decay_steps = max(1, self.total_steps - self.warmup_steps)
        decay = (self.total_steps - done) / decay_steps
        return self.peak * ops.maximum(
            0.0, ops.minimum(1.0, ops.minimum(warmup, decay))
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdamW(keras.optimizers.AdamW):
    """Keras's AdamW, without weight decay of biases and LayerNorms.

    A class and not a call of `exclude_from_weight_decay`, which Keras does not
    save: a reloaded model would decay them.
    """

    def build(self, variables: list[keras.Variable]) -> None:
        if not self.built:
            excluded = [v.value for v in variables if _NOT_DECAYED.search(v.path)]
            self.exclude_from_weight_decay(var_list=excluded)
        super().build(variables)


def create_optimizer(
    variables: list[keras.Variable],
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float = 0.01,
) -> AdamW:
    """AdamW with the reference's constants.

    beta_1 0.9, beta_2 0.999, epsilon 1e-6, decoupled weight decay that leaves
    out LayerNorms and biases. Unlike the reference it corrects the moments'
    bias, as Keras does. Clipping to global norm 1.0 is the train step's.

    Args:
        variables: The variables it will update; the optimizer is built for
            them, so that its slots exist before the first step.
        learning_rate: A number or a schedule.
        weight_decay: The decay, times the learning rate, of each step.
    """
    optimizer = AdamW(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
    )
    optimizer.build(variables)
    return optimizer
