"""Where adapters sit in a backbone, and what they are made of."""

import dataclasses
from typing import Any

from adapters_tf.layers.bottleneck_adapter import BottleneckAdapter

SUBLAYERS = ("attention", "feed_forward")
# Fields that are not about an adapter itself.
_PLACEMENT = (
    "parallel",
    "reads_layer_norm",
    "sublayers",
    "layers",
    "layer_norm_layers",
)


@dataclasses.dataclass(frozen=True)
class AdapterConfig:
    """The paper's adapters by default; its variants by option.

    Attributes:
        bottleneck_dim: Units `m` of the bottleneck. The paper uses 8 to 256
            (section 3.2); 64 is its single fixed size.
        reduction_factor: Another way to give the size: `m = hidden_dim //
            reduction_factor`, in place of `bottleneck_dim`.
        activation: Name of the non-linearity: `"gelu_tanh"` (GELU in its tanh
            form, as in the reference code) or any Keras activation.
        initializer_stddev: Standard deviation of the truncated normal that
            initialises the kernels. The paper: 1e-2, robust below (section 3.6).
        zero_init: Start the up-projection at zero, so that the adapted model
            equals the base exactly before training.
        dropout: Dropout on the bottleneck. The reference has none.
        layer_norm: LayerNorm on the adapter's input (a variant of section 3.6).
        depth: Bottleneck layers: 1 is the paper's; each further one adds a
            dense layer `[m, m]` with the non-linearity (section 3.6).
        parallel: Feed the adapter the sub-layer's input instead of its output
            (section 3.6).
        reads_layer_norm: Feed the adapter the sub-layer's LayerNorm of output plus
            residual, and normalise again with its result added: with `s` for output
            plus residual, `LN(s + adapter(LN(s)))`. With
            `sublayers=("feed_forward",)` the adapter of Pfeiffer et al. 2021,
            https://arxiv.org/abs/2005.00247.
        sublayers: Which of `"attention"` and `"feed_forward"` get one.
        layers: Indices of the encoder blocks that get adapters, from 0; negative
            ones count from the top, so that `(-2, -1)` is the top two. `None` for
            all. A backbone that is made of another resolves them.
        layer_norm_layers: Indices of the blocks whose LayerNorms are the task's own;
            with block 0, that of the embeddings too. `None` for those of `layers`.

    Raises:
        ValueError: if a value is out of range; see also `BottleneckAdapter`.
    """

    bottleneck_dim: int | None = None
    reduction_factor: float | None = None
    activation: str = "gelu_tanh"
    initializer_stddev: float = 1e-2
    zero_init: bool = False
    dropout: float = 0.0
    layer_norm: bool = False
    depth: int = 1
    parallel: bool = False
    reads_layer_norm: bool = False
    sublayers: tuple[str, ...] = SUBLAYERS
    layers: tuple[int, ...] | None = None
    layer_norm_layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        # Lists, as JSON and notebooks bring them, shall compare equal to tuples.
        for field in ("sublayers", "layers", "layer_norm_layers"):
            if isinstance(getattr(self, field), list):
                object.__setattr__(self, field, tuple(getattr(self, field)))
        if self.bottleneck_dim is None and self.reduction_factor is None:
            object.__setattr__(self, "bottleneck_dim", 64)
        known = [s for s in SUBLAYERS if s in self.sublayers]
        if not known or sorted(self.sublayers) != sorted(known):
            raise ValueError(
                f"sublayers must name one or both of {SUBLAYERS}. "
                f"Received: sublayers={self.sublayers}"
            )
        if self.layers is not None and not self.layers:
            raise ValueError(
                "layers must be None (all) or a non-empty tuple of block indices "
                f"from 0. Received: layers={self.layers}"
            )
        if self.parallel and self.reads_layer_norm:
            raise ValueError(
                "An adapter has one input: parallel=True or reads_layer_norm=True, not "
                "both. Received: parallel=True, reads_layer_norm=True"
            )
        # The layer checks the rest: now, and not after a base was loaded.
        BottleneckAdapter(**self.bottleneck_kwargs(), name="check")

    def bottleneck_kwargs(self) -> dict[str, Any]:
        """The fields that are arguments of `BottleneckAdapter`."""
        config = dataclasses.asdict(self)
        for placement in _PLACEMENT:
            del config[placement]
        return config

    def for_blocks(self, num_blocks: int) -> "AdapterConfig":
        """The same for a backbone of so many blocks: indices from 0, in their order.

        Raises:
            ValueError: if one of them names a block that is not there.
        """
        resolved: dict[str, Any] = {}
        for name in ("layers", "layer_norm_layers"):
            layers = getattr(self, name)
            if layers is None:
                continue
            if not all(-num_blocks <= i < num_blocks for i in layers):
                raise ValueError(
                    f"{name} must be indices of encoder blocks, from 0 to "
                    f"{num_blocks - 1}, or from -{num_blocks} to -1 from the top. "
                    f"Received: {name}={layers}"
                )
            resolved[name] = tuple(sorted({i % num_blocks for i in layers}))
        return dataclasses.replace(self, **resolved)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "AdapterConfig":
        """The configuration that `to_dict` wrote.

        Raises:
            ValueError: if a field is unknown.
        """
        unknown = sorted(set(config) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"Unknown adapter configuration field(s): {unknown}")
        return cls(**config)
