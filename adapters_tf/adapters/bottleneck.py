"""The bottleneck adapter of Houlsby et al. 2019, with variants."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import keras

from adapters_tf.adapters.base import (
    SUBLAYERS,
    AdapterMethod,
    Site,
    TaskForm,
    check_indices,
)
from adapters_tf.adapters.bottleneck_forms import (
    EPSILON,
    BottleneckForm,
    SerialForm,
    bottleneck,
)
from adapters_tf.layers.activations import activation_code, get_activation
from adapters_tf.layers.dropout import Dropout

# The fields that are also arguments of the layer.
_LAYER_FIELDS = (
    "bottleneck_dim",
    "reduction_factor",
    "activation",
    "initializer_stddev",
    "zero_init",
    "dropout",
    "layer_norm",
    "depth",
)


# More units or layers than any base has would only exhaust the memory.
_MOST = 2**16


def _positive_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer. Received: {name}={value}")
    if value > _MOST:
        raise ValueError(f"{name} must be at most {_MOST}. Received: {name}={value}")
    return value


def _units(dim: int | None, factor: float | None, hidden_dim: int) -> int:
    """Return the bottleneck's units, from whichever size is given."""
    return dim or max(1, int(hidden_dim // cast(float, factor)))


@dataclasses.dataclass(frozen=True)
class AdapterConfig(AdapterMethod):
    """Bottleneck adapters; the defaults are those of Houlsby et al. 2019.

    Attributes:
        bottleneck_dim: Units `m` of the bottleneck. The paper uses 8 to 256
            (section 3.2); 64 is its single fixed size.
        reduction_factor: Gives the size instead of `bottleneck_dim`:
            `m = max(1, int(hidden_dim // reduction_factor))`.
        activation: Name of the non-linearity: `"gelu_tanh"` (GELU in its tanh
            form, as in the reference code) or any Keras activation.
        initializer_stddev: Standard deviation of the truncated normal that
            initialises the kernels. The paper uses 1e-2; smaller values work as well
            (section 3.6).
        zero_init: Start the up-projection at zero, so that the untrained model equals
            the base exactly.
        dropout: Dropout rate on the bottleneck. The reference code has none.
        layer_norm: Apply LayerNorm to the adapter's input (a variant in section 3.6).
        depth: Number of bottleneck layers. The paper uses 1; each further one adds a
            dense layer `[m, m]` with the non-linearity (section 3.6).
        parallel: Feed the adapter the sub-layer's input instead of its output
            (section 3.6).
        reads_layer_norm: Compute `LN(s + adapter(LN(s)))`, where `s` is the sub-layer's
            output plus the residual. With `sublayers=("feed_forward",)`, this is the
            adapter of Pfeiffer et al. 2021, https://arxiv.org/abs/2005.00247.
        sublayers: The sub-layers with adapters: `"attention"`, `"feed_forward"` or
            both.
        layers: Indices of the encoder blocks that get adapters, from 0; negative
            ones count from the top, so `(-2, -1)` means the top two. `None` for
            all. `AdapterBackbone.from_backbone` resolves them.
        layer_norm_layers: Indices of the blocks whose LayerNorms the task trains; block
            0 includes the embeddings' LayerNorm. `None` for the blocks in `layers`.

    Raises:
        ValueError: if a value is out of range; see also `BottleneckAdapter`.
    """

    name = "bottleneck"
    suffix = "adapter"

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
        # Convert lists, as from JSON, so that equal configurations compare equal.
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
        for field in ("layers", "layer_norm_layers"):
            check_indices(field, getattr(self, field))
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
        for field in ("zero_init", "layer_norm", "parallel", "reads_layer_norm"):
            if not isinstance(getattr(self, field), bool):
                raise ValueError(
                    f"{field} must be true or false. Received: {field}="
                    f"{getattr(self, field)!r}"
                )
        # Let the layer check the rest now, before a base is loaded.
        self._layer(name="check")

    def _layer(self, **kwargs: Any) -> "BottleneckAdapter":
        fields = {name: getattr(self, name) for name in _LAYER_FIELDS}
        residual = not (self.parallel or self.reads_layer_norm)
        return BottleneckAdapter(**fields, residual=residual, **kwargs)

    def sites(self) -> tuple[str, ...]:
        return self.sublayers

    def make_layer(
        self,
        site: str,
        input_shape: tuple[int | None, ...],
        output_shape: tuple[int | None, ...],
        **kwargs: Any,
    ) -> "BottleneckAdapter":
        layer = self._layer(**kwargs)
        layer.build(input_shape)
        return layer

    def adapt(self, layer: Any, site: Site, training: bool | None) -> Any:
        if self.parallel:
            return site.outputs + layer(site.inputs, training=training)
        if self.reads_layer_norm:
            normalized = cast(Callable[[], Any], site.normalized)()
            return site.outputs + layer(normalized, training=training)
        return layer(site.outputs, training=training)

    def neutral_variables(self, layer: Any) -> list[keras.Variable]:
        return layer.up_projection.weights

    def num_parameters(self, hidden_dim: int) -> int:
        """Count `2md + d + m` for each sub-layer (paper, section 2.1), plus variants.

        An inner LayerNorm adds `2d`, and each further bottleneck layer `m^2 + m`.
        """
        m, d = self.units(hidden_dim), hidden_dim
        one = 2 * m * d + d + m + (self.depth - 1) * (m * m + m)
        return len(self.sublayers) * (one + 2 * d * self.layer_norm)

    def check_block(self, normalize_first: bool) -> None:
        if self.reads_layer_norm and normalize_first:
            raise ValueError(
                "reads_layer_norm=True is for blocks whose LayerNorms come last. "
                "Received: normalize_first=True"
            )

    def units(self, hidden_dim: int) -> int:
        """Return the bottleneck's units for a base of this hidden size."""
        return _units(self.bottleneck_dim, self.reduction_factor, hidden_dim)

    def about(self) -> dict[str, str | int]:
        size = f"the base's width / {self.reduction_factor}"
        return {"bottleneck size": self.bottleneck_dim or size}

    def to_dict(self) -> dict[str, Any]:
        # Bottleneck files name no method, as before other methods existed.
        return dataclasses.asdict(self)

    def check_exportable(self) -> None:
        activation_code(self.activation)

    def form(self) -> TaskForm:
        plain = not (self.parallel or self.reads_layer_norm or self.layer_norm)
        return SerialForm() if plain and self.depth == 1 else BottleneckForm()

    @classmethod
    def full_form(cls) -> TaskForm:
        return BottleneckForm()


@keras.saving.register_keras_serializable(package="adapters_tf")
class BottleneckAdapter(keras.layers.Layer):
    """`h + up_projection(activation(down_projection(h)))`.

    Both projections have biases: `2md + d + m` parameters for hidden size `d`
    and bottleneck `m` (paper, section 2.1). Kernels start as a truncated
    normal (cut at two standard deviations), biases at zero, so the layer
    starts near the identity.

    Args:
        bottleneck_dim: Units `m` of the bottleneck. Give this or
            `reduction_factor`.
        reduction_factor: `m = max(1, int(d // reduction_factor))`.
        activation: See `get_activation`.
        initializer_stddev: Standard deviation of the kernels' initialiser.
        zero_init: Initialise the up-projection's kernel to zero.
        dropout: Dropout rate on the bottleneck, in training.
        layer_norm: Normalise the input, but not the residual.
        depth: Number of bottleneck layers; the paper uses 1.
        residual: Add the input to the result. `False` returns only the result, for a
            parallel adapter.
        **kwargs: As `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: `[..., d]` floating-point tensor.
        training: Whether dropout is active.

    Returns:
        A tensor of the inputs' shape, in the layer's compute dtype.

    Raises:
        ValueError: if a size is not a positive integer, not exactly one size is given,
            or a rate or deviation is out of range.
    """

    def __init__(
        self,
        bottleneck_dim: int | None = None,
        reduction_factor: float | None = None,
        activation: str = "gelu_tanh",
        initializer_stddev: float = 1e-2,
        zero_init: bool = False,
        dropout: float = 0.0,
        layer_norm: bool = False,
        depth: int = 1,
        residual: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (bottleneck_dim is None) == (reduction_factor is None):
            raise ValueError(
                "Give exactly one of bottleneck_dim and reduction_factor. Received: "
                f"bottleneck_dim={bottleneck_dim}, reduction_factor={reduction_factor}"
            )
        if bottleneck_dim is not None:
            _positive_integer("bottleneck_dim", bottleneck_dim)
        if reduction_factor is not None and not reduction_factor > 0:
            raise ValueError(
                "reduction_factor must be positive. Received: "
                f"reduction_factor={reduction_factor}"
            )
        if not initializer_stddev >= 0:
            raise ValueError(
                "initializer_stddev must be 0 or more. Received: "
                f"initializer_stddev={initializer_stddev}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1). Received: dropout={dropout}")
        self.bottleneck_dim = bottleneck_dim
        self.reduction_factor = reduction_factor
        self.activation = activation
        self.initializer_stddev = initializer_stddev
        self.zero_init = zero_init
        self.dropout = dropout
        self.layer_norm = layer_norm
        self.depth = _positive_integer("depth", depth)
        self.residual = residual
        self.supports_masking = True
        self._activation = get_activation(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        hidden_dim = cast(int, input_shape[-1])
        units = _units(self.bottleneck_dim, self.reduction_factor, hidden_dim)
        bottleneck_shape = (*input_shape[:-1], units)

        def dense(units: int, name: str, zeros: bool = False) -> keras.layers.Dense:
            return keras.layers.Dense(
                units,
                kernel_initializer="zeros"
                if zeros
                else keras.initializers.TruncatedNormal(stddev=self.initializer_stddev),
                dtype=self.dtype_policy,
                name=name,
            )

        self.input_layer_norm = None
        if self.layer_norm:
            self.input_layer_norm = keras.layers.LayerNormalization(
                epsilon=EPSILON, dtype=self.dtype_policy, name="layer_norm"
            )
            self.input_layer_norm.build(input_shape)
        self.down_projection = dense(units, "down_projection")
        self.down_projection.build(input_shape)
        self.bottleneck_layers = []
        for i in range(1, self.depth):
            layer = dense(units, f"bottleneck_layer_{i}")
            layer.build(bottleneck_shape)
            self.bottleneck_layers.append(layer)
        self.bottleneck_dropout = Dropout(
            self.dropout, dtype=self.dtype_policy, name="dropout"
        )
        self.up_projection = dense(hidden_dim, "up_projection", zeros=self.zero_init)
        self.up_projection.build(bottleneck_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        def deeper(x: Any) -> Any:
            for layer in self.bottleneck_layers:
                x = self._activation(layer(x))
            return self.bottleneck_dropout(x, training=training)

        x = bottleneck(
            inputs,
            self.down_projection,
            self._activation,
            self.up_projection,
            deeper,
            self.input_layer_norm,
        )
        return inputs + x if self.residual else x

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in (*_LAYER_FIELDS, "residual"):
            config[name] = getattr(self, name)
        return config
