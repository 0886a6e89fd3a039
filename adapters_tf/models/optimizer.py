"""AdamW and its schedule, as in the reference code's `optimization.py`."""

import re
from typing import Any

import keras
from keras import ops

_NOT_DECAYED = re.compile(r"(bias|gamma|beta)$")


def linear_warmup_decay(
    step: Any, peak: Any, total_steps: Any, warmup_steps: Any
) -> Any:
    """The rate of the update numbered `step` from 0; see `LinearWarmupDecay`.

    Args:
        step: Number or scalar tensor, as are the others.
        peak: Rate at the end of the warm-up.
        total_steps: Steps of the run.
        warmup_steps: Steps of the warm-up.
    """
    # That update is the (step + 1)th: the first one already learns, the last one has
    # the smallest rate above zero.
    done = ops.cast(step, "float32")
    total, warmup = ops.cast(total_steps, "float32"), ops.cast(warmup_steps, "float32")
    rising = (done + 1.0) / ops.maximum(1.0, warmup)
    falling = (total - done) / ops.maximum(1.0, total - warmup)
    return peak * ops.maximum(0.0, ops.minimum(1.0, ops.minimum(rising, falling)))


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
        return linear_warmup_decay(step, self.peak, self.total_steps, self.warmup_steps)

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


def batch_number(optimizer: keras.optimizers.Optimizer) -> Any:
    """The number of the batch that comes next, from 0, as a scalar variable.

    `iterations` counts updates, of which there are fewer where gradients are
    accumulated; each batch needs a number of its own for its dropout masks.

    Args:
        optimizer: The optimizer.
    """
    return optimizer.variables[0].value


def check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that the train steps do not know how to use.

    Raises:
        ValueError: if it scales the loss, as Keras's does under `mixed_float16`.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "Training with mixed precision needs dtype='mixed_bfloat16'. Received: a "
            "model that Keras trains with a LossScaleOptimizer, such as one of "
            "dtype='mixed_float16'"
        )
