"""The bottleneck adapter of Houlsby et al. 2019, figure 2 (right)."""

from typing import Any, cast

import keras

from adapters_tf.layers.dropout import Dropout
from adapters_tf.layers.gelu import gelu_tanh, recomputable


def get_activation(name: str) -> Any:
    """The activation function of this name.

    Args:
        name: `"gelu_tanh"` (`keras.activations.gelu` with `approximate=True`,
            the form of the reference code) or any name that
            `keras.activations.get` knows.
    """
    if name == "gelu_tanh":
        return gelu_tanh
    return recomputable(keras.activations.get(name))


def _positive_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer. Received: {name}={value}")
    return value


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
        layer_norm: Normalise the input (the residual is not normalised).
        depth: Number of bottleneck layers; 1 is the paper's.
        residual: Add the input to the result. `False` returns the second
            summand alone (for an adapter in parallel).
        **kwargs: As `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: `[..., d]` floating-point tensor.
        training: Whether dropout is active.

    Returns:
        A tensor of the inputs' shape, in the layer's compute dtype.

    Raises:
        ValueError: if a size is not a positive integer, both or none of the
            two sizes are given, or a rate or deviation is out of range.
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
        # One of the two sizes is given.
        factor = cast(float, self.reduction_factor)
        units = self.bottleneck_dim or max(1, int(hidden_dim // factor))
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
                epsilon=1e-12, dtype=self.dtype_policy, name="layer_norm"
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
        x = inputs if self.input_layer_norm is None else self.input_layer_norm(inputs)
        x = self._activation(self.down_projection(x))
        for layer in self.bottleneck_layers:
            x = self._activation(layer(x))
        x = self.up_projection(self.bottleneck_dropout(x, training=training))
        return inputs + x if self.residual else x

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in (
            "bottleneck_dim",
            "reduction_factor",
            "activation",
            "initializer_stddev",
            "zero_init",
            "dropout",
            "layer_norm",
            "depth",
            "residual",
        ):
            config[name] = getattr(self, name)
        return config
