"""Settings of a training run."""

import dataclasses
from typing import Any

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.batches import steps_per_epoch
from adapters_tf.errors import check_counts
from adapters_tf.models.trainable_set import Tuning

# Those of adapters and full did well without a sweep (docs/results.md); the others
# have not been measured.
DEFAULT_LEARNING_RATES = {
    "adapters": 1e-3,
    "full": 1e-4,
    "top_n": 1e-4,
    "layer_norm": 1e-3,
    "head": 1e-3,
    "adapters_only": 1e-3,
}

# After half as many, adapters are behind full fine-tuning (docs/results.md).
_LEAST_STEPS = 320
# The more of the two that section 3.2 of the paper has.
_MOST_EPOCHS = 20


def default_epochs(num_rows: int, batch_size: int) -> int:
    """Passes over the training rows where none are asked for.

    3, as section 3.2 of the paper has for large data sets, and more where these are
    less than 320 steps, up to the 20 that it has for small ones.

    Args:
        num_rows: Training rows.
        batch_size: Rows of a batch.
    """
    steps = steps_per_epoch(num_rows, batch_size)
    return min(_MOST_EPOCHS, max(TrainConfig.epochs, -(-_LEAST_STEPS // steps)))


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to train; what is trained is the model's `tuning`.

    Attributes:
        epochs: Passes over the training rows.
        batch_size: Rows of a global batch.
        learning_rate: Peak rate, after the warm-up.
        warmup_proportion: Share of the steps over which the rate rises from 0;
            it falls linearly to 0 over the rest.
        weight_decay: Decoupled decay; none on LayerNorms and biases.
        clip_norm: Global norm to which gradients are clipped.
        seed: Seeds initial weights, order of the rows and dropout.
        steps_per_loop: Steps that run on the devices between two looks at the loss.
        jit_compile: Compile forward and backward with XLA; rows are then padded to
            multiples of 32 tokens, since each shape is compiled anew.
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
    """What to train, apart from the rows.

    Attributes:
        preset: The base; see `resolve_preset`.
        tuning: What is trained.
        adapter: The adapters; ignored where `tuning` has none.
        head: Arguments of the head beside the number of classes.
        seq_length: Longest input in tokens.
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
