"""Settings of a training run."""

import dataclasses
from typing import Any

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.batches import steps_per_epoch
from adapters_tf.errors import check_counts
from adapters_tf.models.trainable_set import Tuning

# The rates of adapters and full gave good results without a sweep (docs/results.md).
# The other rates were not measured.
DEFAULT_LEARNING_RATES = {
    "adapters": 1e-3,
    "full": 1e-4,
    "top_n": 1e-4,
    "layer_norm": 1e-3,
    "head": 1e-3,
    "adapters_only": 1e-3,
}

# With half as many steps, adapters are behind full fine-tuning (docs/results.md).
_MIN_STEPS = 320
# The larger of the two numbers of epochs in section 3.2 of the paper.
_MAX_EPOCHS = 20


def default_epochs(num_rows: int, batch_size: int) -> int:
    """The default number of epochs.

    3, as in section 3.2 of the paper for large data sets. If 3 epochs are less than 320
    steps, as many as make 320 steps, up to the 20 epochs of the paper for small ones.

    Args:
        num_rows: Number of training rows.
        batch_size: Rows of a batch.
    """
    steps = steps_per_epoch(num_rows, batch_size)
    return min(_MAX_EPOCHS, max(TrainConfig.epochs, -(-_MIN_STEPS // steps)))


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to train. The model's `tuning` says what to train.

    Attributes:
        epochs: Passes over the training rows.
        batch_size: Rows of a global batch.
        learning_rate: Peak rate, after the warm-up.
        warmup_proportion: Fraction of the steps over which the rate rises from 0. It
            falls linearly to 0 over the rest.
        weight_decay: Decoupled weight decay, except of LayerNorms and biases.
        clip_norm: Global norm to which gradients are clipped.
        seed: Seed of the initial weights, the order of the rows and dropout.
        steps_per_loop: Steps that the devices run before the loss is read.
        jit_compile: Whether to compile the forward and backward pass with XLA. Rows are
            then padded to multiples of 32 tokens: XLA compiles each shape anew.
        checkpoint_interval: Steps between two checkpoints.
        eval_batch_size: Rows of a batch in evaluation.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_proportion: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0
    steps_per_loop: int = 20
    jit_compile: bool = False
    checkpoint_interval: int = 200
    eval_batch_size: int = 64

    def __post_init__(self) -> None:
        check_counts(self, "epochs", "batch_size", "steps_per_loop", "eval_batch_size")
        if not self.learning_rate > 0:
            raise ValueError(
                "learning_rate must be above 0. Received: "
                f"learning_rate={self.learning_rate}"
            )
        if not 0 <= self.warmup_proportion <= 1:
            raise ValueError(
                "warmup_proportion must be from 0 to 1. Received: "
                f"warmup_proportion={self.warmup_proportion}"
            )
        if not 0 <= self.seed < 2**31:
            raise ValueError(
                f"seed must be from 0 to 2147483647. Received: seed={self.seed}"
            )


@dataclasses.dataclass(frozen=True)
class TrainJob:
    """What a run trains, and how; without the rows.

    Attributes:
        preset: The base model; see `resolve_preset`.
        tuning: What to train.
        adapter: The adapters; ignored if `tuning` has none.
        head: Arguments of the head, apart from the number of classes.
        seq_length: Longest input, in tokens.
        precision: `"float32"` or `"mixed_bfloat16"`.
        config: How to train.
    """

    preset: str = "demo"
    tuning: Tuning = Tuning()
    adapter: AdapterConfig = AdapterConfig()
    head: dict[str, Any] = dataclasses.field(default_factory=dict)
    seq_length: int = 128
    precision: str = "float32"
    config: TrainConfig = TrainConfig()
