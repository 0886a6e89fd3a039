"""Which variables a tuning method trains, and how many parameters they have."""

import dataclasses
import math
from numbers import Integral
from typing import Any

import keras

from adapters_tf.errors import UserError
from adapters_tf.models.fingerprint import changed_variables

PAPER_METHODS = ("adapters", "full", "top_n", "layer_norm", "head")
METHODS = (*PAPER_METHODS, "adapters_only")


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A tuning method of the paper or of AdapterHub.

    Attributes:
        method: What to train. `"adapters"`: the adapters, the LayerNorms of the blocks
            with adapters (and of the embeddings if the first block has adapters), and
            the head; with adapters in all blocks, every LayerNorm (section 2.1 and
            `optimization.py` of the reference code). `"full"`: everything. `"top_n"`:
            the last `n` encoder blocks, the pooler and the head (variable fine-tuning,
            section 3.3). `"layer_norm"`: LayerNorms and head (section 3.4). `"head"`:
            only the head (section 1). `"adapters_only"`: adapters and head, but no
            LayerNorms, as in AdapterHub.
        top_n: Number of blocks, for `"top_n"` only.

    Raises:
        ValueError: if there is no such method, or `top_n` is missing, given to another
            method, or not a whole number.
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
        if self.top_n is not None and not isinstance(self.top_n, Integral):
            raise ValueError(
                "top_n must be a whole number of encoder blocks. Received: top_n="
                f"{self.top_n!r}"
            )

    @property
    def has_adapters(self) -> bool:
        """Whether it trains adapters."""
        return self.method in ("adapters", "adapters_only")

    @classmethod
    def of(cls, value: "Tuning | str | dict[str, Any]") -> "Tuning":
        """Return a `Tuning` from a `Tuning`, a method's name or its fields.

        Raises:
            ValueError: if `value` is none of these, or as `Tuning`.
        """
        if isinstance(value, cls):
            return value
        fields = {"method": value} if isinstance(value, str) else value
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or not set(fields) <= known:
            raise ValueError(
                "tuning must be a Tuning, the name of a method, or a dictionary of "
                f"{', '.join(sorted(known))}. Received: tuning={value!r}"
            )
        return cls(**fields)


def layer_norm_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return gamma and beta of every LayerNorm inside `layer`, in layer order."""
    return [
        variable
        for sublayer in layer._flatten_layers()
        if isinstance(sublayer, keras.layers.LayerNormalization)
        for variable in sublayer.weights
    ]


def trained_in_backbone(
    backbone: Any, tuning: Tuning, reads_pooler: bool = False
) -> list[keras.Variable]:
    """Return the backbone variables that a method trains; see `trainable_set`.

    Args:
        backbone: An `AdapterBackbone`.
        tuning: The method.
        reads_pooler: Whether the head reads the pooled output.
    """
    if tuning.has_adapters and not backbone.adapter_variables():
        raise ValueError(
            f"tuning={tuning.method!r} needs a backbone with adapters: give it an "
            "AdapterConfig. Received: a backbone with adapter=None"
        )
    if not tuning.has_adapters and backbone.adapter_variables():
        raise ValueError(
            f"tuning={tuning.method!r} is a baseline without adapters: build the "
            "backbone with adapter=None. Received: a backbone with "
            f"{backbone.adapter}"
        )
    blocks = backbone.encoder_blocks
    pooler = getattr(backbone, "pooled_dense", None)
    pooler_variables = pooler.weights if pooler and reads_pooler else []
    if tuning.method == "adapters":
        own = backbone.adapter.own_layer_norms(len(blocks))
        norms = [v for i in own for v in layer_norm_variables(blocks[i])]
        if 0 in own:
            for layer in backbone.layers:
                if isinstance(layer, keras.layers.LayerNormalization):
                    norms += layer.weights
        return backbone.adapter_variables() + norms
    if tuning.method == "adapters_only":
        return backbone.adapter_variables()
    if tuning.method == "layer_norm":
        return layer_norm_variables(backbone)
    if tuning.top_n is not None:  # Only for the method "top_n".
        if not 1 <= tuning.top_n <= len(blocks):
            raise ValueError(
                f"top_n must be from 1 to the number of encoder blocks, "
                f"{len(blocks)}. Received: top_n={tuning.top_n}"
            )
        top = [v for block in blocks[-tuning.top_n :] for v in block.weights]
        return top + pooler_variables
    if tuning.method == "full":
        unread = [] if pooler_variables or not pooler else pooler.weights
        skip = {id(v) for v in unread}
        return [v for v in backbone.weights if id(v) not in skip]
    return []


def trainable_set(model: Any, tuning: Tuning) -> list[keras.Variable]:
    """Return the variables of `model` that a method trains.

    This does not change the model. The set includes the pooler only if the head reads
    it; otherwise its gradient would be zero.

    Args:
        model: An `AdapterModel`.
        tuning: The method.

    Returns:
        The variables, each once, in the order of `model.weights`.

    Raises:
        ValueError: if the method does not fit the model: it trains adapters but the
            model has none, or `top_n` is not from 1 to the number of blocks.
    """
    chosen = trained_in_backbone(model.backbone, tuning, model.reads_pooler)
    ids = {id(v) for v in [*chosen, *model.head_variables()]}
    return [v for v in model.weights if id(v) in ids]


def num_frozen_blocks(backbone: Any, tuning: Tuning) -> int:
    """Count the lowest blocks that lie below everything that is trained.

    Their outputs for a row never change, so they can be cached.

    Args:
        backbone: An `AdapterBackbone`.
        tuning: The method.

    Returns:
        A number from 0 (the embeddings or the first block are trained) to the number of
        blocks.
    """
    trained = {id(v) for v in trained_in_backbone(backbone, tuning)}
    blocks = backbone.encoder_blocks
    pooler = getattr(backbone, "pooled_dense", None)
    for i, block in enumerate(blocks):
        if any(id(v) in trained for v in block.weights):
            num_frozen = i
            break
    else:
        num_frozen = len(blocks)
    # Count shared blocks only if no trained block runs between their calls.
    while backbone.calls_below(num_frozen) is None:
        num_frozen -= 1
    in_blocks = {id(v) for layer in (*blocks, pooler) if layer for v in layer.weights}
    return 0 if trained - in_blocks else num_frozen


def apply_trainable_set(model: Any, tuning: Tuning) -> None:
    """Freeze all of `model` except `trainable_set(model, tuning)`.

    The blocks below everything trained then run in inference mode even during training:
    they have no dropout, so their outputs are the same in every step.
    """
    ids = {id(v) for v in trainable_set(model, tuning)}
    for variable in model.weights:
        variable.trainable = id(variable) in ids
    model.backbone.fix_blocks(num_frozen_blocks(model.backbone, tuning))


_SHOWN = 3


def check_trainable_set(model: Any) -> None:
    """Reject a model whose trainable variables were changed by hand.

    Args:
        model: An `AdapterModel`.

    Raises:
        UserError: if variables were frozen or unfrozen, or layers have LoRA or are
            quantized; names them.
    """
    check_layers(model)
    _check_variables(model)


def check_layers(model: Any) -> None:
    """Reject a model whose layers were changed by hand.

    Args:
        model: An `AdapterModel`.

    Raises:
        UserError: if a layer has LoRA or is quantized; names it.
    """
    for layer in model._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            change = "enable_lora"
        elif getattr(layer, "quantization_mode", None):
            change = f"quantize({layer.quantization_mode!r})"
        else:
            continue
        raise UserError(
            f"A model trains what tuning={model.tuning.method!r} says, on the base as "
            f"it was loaded. Received: one whose layer {layer.path} was changed by "
            f"{change}. Make the model anew to train or save it"
        )


def check_base_weights(model: Any) -> None:
    """Reject a model whose base was changed by hand since it was loaded.

    Variables that the task trains may have any value. This reads all others: 0.4 s for
    BERT-base.

    Args:
        model: An `AdapterModel`. Nothing is known of a base without a fingerprint.

    Raises:
        UserError: if other weights were assigned to the base; names variables.
    """
    backbone = model.backbone
    trained = {id(v) for v in model.trainable_variables}
    kept = [v for v in backbone.base_variables() if id(v) not in trained]
    changed = changed_variables(kept, backbone.base_digests or {})
    if changed:
        raise UserError(
            "An adapter belongs to one base, with the weights that it was loaded with. "
            "Received: a model whose base was given other weights afterwards: "
            f"{len(changed)} of its variables, such as {', '.join(changed[:_SHOWN])}. "
            "Give it those again; or save this base as a preset of its own, with "
            "save_to_preset of model.backbone.to_plain() and of the tokenizer, make a "
            "model with from_preset of it, and save that one's adapter after its "
            "set_weights(model.get_weights())"
        )


def _check_variables(model: Any) -> None:
    wanted = {v.path: v for v in trainable_set(model, model.tuning)}
    real = {v.path: v for v in model.trainable_variables}
    frozen, added = sorted(set(wanted) - set(real)), sorted(set(real) - set(wanted))
    if frozen or added:
        parts = [
            f"{len(paths)} {what}, such as {', '.join(paths[:_SHOWN])}"
            for what, paths in (("frozen", frozen), ("unfrozen", added))
            if paths
        ]
        raise UserError(
            f"A model trains what tuning={model.tuning.method!r} says; give another "
            "tuning where it is made, and leave `trainable` of its layers alone. "
            f"Received: variables changed by hand: {'; '.join(parts)}"
        )


@dataclasses.dataclass(frozen=True)
class ParameterCounts:
    """Parameter counts of a model.

    Attributes:
        base: Parameters of the plain backbone.
        adapters: Parameters of the adapters: `2md + d + m` each.
        head: Parameters of the head.
        trained: Parameters that the task trains and its file holds.
    """

    base: int
    adapters: int
    head: int
    trained: int

    def total(self, num_tasks: int) -> float:
        """Return all parameters for this many tasks, relative to one base."""
        return 1 + num_tasks * self.trained / self.base

    def table(self, num_tasks: tuple[int, ...] = (1, 9, 17)) -> str:
        """Return the counts as aligned text.

        Args:
            num_tasks: Numbers of tasks to show totals for; the paper has 9 GLUE tasks
                and 17 additional ones.
        """
        rows = [
            ("base", f"{self.base:,}", "100.00%"),
            ("adapters", f"{self.adapters:,}", f"{self.adapters / self.base:.2%}"),
            ("head", f"{self.head:,}", f"{self.head / self.base:.2%}"),
            (
                "trained for this task",
                f"{self.trained:,}",
                f"{self.trained / self.base:.2%}",
            ),
        ]
        for n in num_tasks:
            name = f"total for {n} task{'s' if n > 1 else ''}"
            total = self.base + n * self.trained
            rows.append((name, f"{total:,}", f"{self.total(n):.2f}x"))
        header = ("", "parameters", "of base")
        widths = [max(len(r[i]) for r in (header, *rows)) for i in range(3)]
        return "\n".join(
            f"{name:<{widths[0]}}  {count:>{widths[1]}}  {share:>{widths[2]}}"
            for name, count, share in (header, *rows)
        )


def count_parameters(model: Any) -> ParameterCounts:
    """Count an `AdapterModel`'s parameters.

    Args:
        model: An `AdapterModel`; its active task is counted.

    Returns:
        The counts; `print(counts.table())` prints them as `adapters-tf-train` does.
    """

    def size(variables: Any) -> int:
        return sum(math.prod(v.shape) for v in variables)

    return ParameterCounts(
        base=size(model.backbone.base_variables()),
        adapters=size(model.backbone.adapter_variables()),
        head=size(model.head_variables()),
        trained=size(model.trainable_variables),
    )
