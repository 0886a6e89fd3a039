"""AdamW and its schedule, as in the reference code's `optimization.py`."""

import re
from typing import Any

import keras
from keras import ops

_NOT_DECAYED = re.compile(r"(bias|gamma|beta)$")


def linear_warmup_decay(
    step: Any, peak: Any, total_steps: Any, warmup_steps: Any
) -> Any:
    """Return the learning rate of update `step`, from 0; see `LinearWarmupDecay`.

    Args:
        step: Number or scalar tensor, like the other arguments.
        peak: Learning rate at the end of the warm-up.
        total_steps: Steps of the run.
        warmup_steps: Steps of the warm-up.
    """
    # Count from 1, so that the first update already learns and the last one has the
    # smallest rate above zero.
    done = ops.cast(step, "float32")
    total, warmup = ops.cast(total_steps, "float32"), ops.cast(warmup_steps, "float32")
    rising = (done + 1.0) / ops.maximum(1.0, warmup)
    falling = (total - done) / ops.maximum(1.0, total - warmup)
    return peak * ops.maximum(0.0, ops.minimum(1.0, ops.minimum(rising, falling)))


@keras.saving.register_keras_serializable(package="adapters_tf")
class LinearWarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly to a peak, then falls linearly to 0.

    Section 3.1 of the paper: 10% of the steps warm up. Keras's own schedules
    warm up only in `CosineDecay`. The first step has the rate `peak / warmup_steps`,
    so that it already learns.

    Args:
        peak: Learning rate at the end of the warm-up.
        total_steps: Number of steps of the run, 1 or more.
        warmup_steps: Number of steps of the warm-up, from 0 to `total_steps`.

    Call arguments:
        step: Number of the step, from 0, as a scalar number or tensor.

    Returns:
        The learning rate, as a scalar float32 tensor.

    Raises:
        ValueError: if a number of steps is out of range.
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
    """Keras's AdamW without weight decay of biases and LayerNorms.

    Keras does not save calls of `exclude_from_weight_decay`, so a reloaded model would
    decay them; a class avoids this.
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
    """Create AdamW with the constants of the reference code.

    beta_1 is 0.9, beta_2 0.999, epsilon 1e-6, and the decoupled weight decay skips
    LayerNorms and biases. Unlike the reference, it corrects the moments' bias, as Keras
    does. The train step clips gradients to global norm 1.0.

    Args:
        variables: The variables to update; the optimizer is built for them, so its
            slots exist before the first step.
        learning_rate: A number or a schedule.
        weight_decay: Decay per step, multiplied by the learning rate.

    Returns:
        The optimizer, built for `variables`.
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
    """Return the number of the next batch, from 0, as a scalar variable.

    `iterations` counts updates, which are fewer than batches if gradients are
    accumulated. Each batch needs its own number for its dropout masks.

    Args:
        optimizer: The optimizer.
    """
    return optimizer.variables[0].value


def check_dtypes(variables: list[keras.Variable]) -> None:
    """Reject variables whose gradients cannot be clipped together.

    Args:
        variables: The trained variables. Those of the head are always float32.

    Raises:
        ValueError: if they have several dtypes.
    """
    dtypes = sorted({str(v.dtype) for v in variables})
    if len(dtypes) > 1:
        raise ValueError(
            "Training needs float32 variables, those of a base with dtype='float32' or "
            f"'mixed_bfloat16'. Received: variables of {' and '.join(dtypes)}"
        )


def check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Reject an optimizer that the train steps do not support.

    Raises:
        ValueError: if it scales the loss, as Keras does under `mixed_float16`.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "Training with mixed precision needs dtype='mixed_bfloat16'. Received: a "
            "model that Keras trains with a LossScaleOptimizer, such as one of "
            "dtype='mixed_float16'"
        )
