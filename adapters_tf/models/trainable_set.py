"""Which variables a tuning method trains: the one function for it."""

import dataclasses
from typing import Any

import keras

METHODS = ("adapters", "full", "top_n", "layer_norm", "head")


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A tuning method of the paper.

    Attributes:
        method: `"adapters"`: adapters, every LayerNorm (that of the embeddings
            too) and the head (section 2.1 and `optimization.py` of the
            reference code). `"full"`: everything. `"top_n"`: the last `n`
            encoder blocks, the pooler and the head (variable fine-tuning,
            section 3.3). `"layer_norm"`: LayerNorms and head (section 3.4).
            `"head"`: the head on fixed features (section 1).
        top_n: Number of blocks, for `"top_n"` only.
    """

    method: str = "adapters"
    top_n: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(
                f"tuning must be one of {', '.join(METHODS)}. Received: {self.method!r}"
            )
        if (self.method == "top_n") != (self.top_n is not None):
            raise ValueError(
                "top_n, a number of encoder blocks, goes with tuning='top_n' and "
                f"only with it. Received: tuning={self.method!r}, top_n={self.top_n}"
            )

    @classmethod
    def of(cls, value: "Tuning | str | dict[str, Any]") -> "Tuning":
        """A `Tuning` from itself, its method's name or its fields."""
        if isinstance(value, str):
            return cls(value)
        return cls(**value) if isinstance(value, dict) else value


def layer_norm_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Gamma and beta of every LayerNorm inside `layer`, in its layers' order."""
    return [
        variable
        for sublayer in layer._flatten_layers()
        if isinstance(sublayer, keras.layers.LayerNormalization)
        for variable in sublayer.weights
    ]


def trainable_set(model: Any, tuning: Tuning) -> list[keras.Variable]:
    """The variables of `model` that this method trains.

    Nothing is changed. The pooler is in the set only where the head reads it,
    since its gradient is zero elsewhere.

    Args:
        model: An `AdapterModel`.
        tuning: The method.

    Returns:
        The variables, each once, in the order of `model.weights`.

    Raises:
        ValueError: if the method does not fit the model: adapters where there
            are none, or a `top_n` that is not from 1 to the number of blocks.
    """
    backbone = model.backbone
    if tuning.method == "adapters" and not backbone.adapter_variables():
        raise ValueError(
            "tuning='adapters' needs a backbone with adapters: give it an "
            "AdapterConfig. Received: a backbone with adapter=None"
        )
    if tuning.method != "adapters" and backbone.adapter_variables():
        raise ValueError(
            f"tuning={tuning.method!r} is a baseline without adapters: build the "
            "backbone with adapter=None. Received: a backbone with "
            f"{backbone.adapter}"
        )
    chosen = list(model.head_variables())
    pooler = getattr(backbone, "pooled_dense", None)
    pooler_variables = pooler.weights if pooler and model.reads_pooler else []
    if tuning.method == "adapters":
        chosen += backbone.adapter_variables() + layer_norm_variables(backbone)
    elif tuning.method == "layer_norm":
        chosen += layer_norm_variables(backbone)
    elif tuning.method == "top_n":
        blocks = backbone.encoder_blocks
        if not 1 <= tuning.top_n <= len(blocks):
            raise ValueError(
                f"top_n must be from 1 to the number of encoder blocks, "
                f"{len(blocks)}. Received: top_n={tuning.top_n}"
            )
        for block in blocks[-tuning.top_n :]:
            chosen += block.weights
        chosen += pooler_variables
    elif tuning.method == "full":
        unread = [] if pooler_variables or not pooler else pooler.weights
        skip = {id(v) for v in unread}
        chosen += [v for v in backbone.weights if id(v) not in skip]
    ids = {id(v) for v in chosen}
    return [v for v in model.weights if id(v) in ids]


def apply_trainable_set(model: Any, tuning: Tuning) -> None:
    """Freeze all of `model` but `trainable_set(model, tuning)`."""
    ids = {id(v) for v in trainable_set(model, tuning)}
    for variable in model.weights:
        variable.trainable = id(variable) in ids
