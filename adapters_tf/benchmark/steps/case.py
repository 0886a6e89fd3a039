"""What is timed: shapes of encoders and batches."""

import dataclasses
from typing import Any

# Sizes of the published checkpoints (Devlin et al. 2019; Wang et al. 2020).
ENCODERS: dict[str, dict[str, int]] = {
    "tiny": {
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 32,
        "intermediate_dim": 64,
        "vocabulary_size": 1000,
    },
    "minilm": {
        "num_layers": 6,
        "num_heads": 12,
        "hidden_dim": 384,
        "intermediate_dim": 1536,
        "vocabulary_size": 30522,
    },
    "bert_base": {
        "num_layers": 12,
        "num_heads": 12,
        "hidden_dim": 768,
        "intermediate_dim": 3072,
        "vocabulary_size": 30522,
    },
    "bert_large": {
        "num_layers": 24,
        "num_heads": 16,
        "hidden_dim": 1024,
        "intermediate_dim": 4096,
        "vocabulary_size": 30522,
    },
}
PRECISIONS = ("float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class Case:
    """One encoder and one shape of batches.

    Attributes:
        encoder: A name in `ENCODERS`; the weights are random.
        rows: Of a batch.
        tokens: Of each row; nothing is padded.
        precision: One of `PRECISIONS`.
        bottleneck_dim: Units of the adapters.
    """

    encoder: str = "minilm"
    rows: int = 8
    tokens: int = 128
    precision: str = "float32"
    bottleneck_dim: int = 64

    def to_dict(self) -> dict[str, Any]:
        """With the sizes of the encoder, for a process."""
        return {**dataclasses.asdict(self), "sizes": ENCODERS[self.encoder]}
