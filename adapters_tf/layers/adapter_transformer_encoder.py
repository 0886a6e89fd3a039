"""keras-hub's encoder block with an adapter after each sub-layer."""

from collections.abc import Callable
from typing import Any

import keras
import keras_hub

from adapters_tf.layers.adapter_config import AdapterConfig
from adapters_tf.layers.bottleneck_adapter import BottleneckAdapter
from adapters_tf.layers.dropout import Dropout
from adapters_tf.layers.gelu import frugal
from adapters_tf.layers.rebind import Overlay, rebind
from adapters_tf.layers.task_scope import LayerNormalization, task_functions


@keras.saving.register_keras_serializable(package="adapters_tf")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """Keras's multi-head attention with this library's `Dropout` inside."""

    _build_attention = rebind(
        keras.layers.MultiHeadAttention._build_attention, Dropout=Dropout
    )


# `keras` as seen by keras-hub's constructors: the same, but for the layers
# that draw random numbers and those that a task has its own parameters of.
KERAS_WITH_OUR_LAYERS = Overlay(
    keras,
    layers=Overlay(
        keras.layers,
        Dropout=Dropout,
        LayerNormalization=LayerNormalization,
        MultiHeadAttention=MultiHeadAttention,
    ),
)


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterTransformerEncoder(keras_hub.layers.TransformerEncoder):
    """An encoder block with serial bottleneck adapters (paper, figure 2 left).

    Each adapted sub-layer computes, in the order of the reference code
    (`modeling.py` lines 943-946 and 962-965): projection, dropout, adapter,
    residual add, LayerNorm. Without adapters the block equals
    `keras_hub.layers.TransformerEncoder` bit for bit, and its variables have
    the same paths. Inside a `task_scope`, such a block runs with the scope's
    adapters and LayerNorm parameters instead.

    Args:
        *args: As `keras_hub.layers.TransformerEncoder`.
        adapter: The adapters' configuration (an `AdapterConfig` or its
            `to_dict`), or `None` for a block without adapters. Its `layers`
            field is for the backbone and is not read here.
        **kwargs: As `keras_hub.layers.TransformerEncoder`.

    Attributes:
        attention_adapter: The `BottleneckAdapter` after self-attention, or
            `None`.
        feed_forward_adapter: The one after the feed-forward sub-layer, or
            `None`.
        fixed: Compute as in inference, in training too.
        on_symbolic_call: Told each output of a call on Keras tensors, or `None`. A
            block whose weights are shared is called several times, and its `output`
            is that of the first call alone.
    """

    fixed = False
    on_symbolic_call: Callable[[keras.KerasTensor], None] | None = None

    def __init__(
        self,
        *args: Any,
        adapter: AdapterConfig | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(adapter, dict):
            adapter = AdapterConfig.from_dict(adapter)
        self.adapter = adapter
        self.attention_adapter: BottleneckAdapter | None = None
        self.feed_forward_adapter: BottleneckAdapter | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super().__call__(*args, **kwargs)
        if self.on_symbolic_call and isinstance(outputs, keras.KerasTensor):
            self.on_symbolic_call(outputs)
        return outputs

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        build = rebind(
            keras_hub.layers.TransformerEncoder.build, keras=KERAS_WITH_OUR_LAYERS
        )
        build(self, inputs_shape)
        dense = self._feedforward_intermediate_dense
        dense.activation = frugal(dense.activation)
        self._inputs_shape = tuple(inputs_shape)
        for name, layer in self._make_adapters(self.adapter).items():
            setattr(self, name, layer)

    def _make_adapters(
        self, adapter: AdapterConfig | None
    ) -> dict[str, BottleneckAdapter]:
        """New adapters, built, by the name of their attribute."""
        if adapter is None:
            return {}
        if adapter.reads_layer_norm and self.normalize_first:
            raise ValueError(
                "reads_layer_norm=True is for blocks whose LayerNorms come last. "
                "Received: normalize_first=True"
            )
        layers = {}
        for sublayer in adapter.sublayers:
            layer = BottleneckAdapter(
                **adapter.bottleneck_kwargs(),
                residual=not (adapter.parallel or adapter.reads_layer_norm),
                dtype=self.dtype_policy,
                name=f"{sublayer}_adapter",
            )
            layer.build(self._inputs_shape)
            layers[layer.name] = layer
        return layers

    def replace_adapters(self, adapter: AdapterConfig | None) -> None:
        """Put freshly initialised adapters in the place of the block's own.

        The new variables have the paths of those of a block that is built with this
        configuration. Functions that were compiled with the old adapters keep them,
        so the caller drops those.

        Args:
            adapter: The new adapters' configuration, or `None` for none.

        Raises:
            ValueError: if the configuration does not fit the block, which then stays
                as it is.
        """
        with keras.name_scope(self.name, caller=self):
            layers = self._make_adapters(adapter)
        # Keras lets no layer be added to one that is built, so its tracker is opened.
        self._tracker.unlock()
        try:
            for name in ("attention_adapter", "feed_forward_adapter"):
                self._tracker.untrack(getattr(self, name))
                delattr(self, name)
                setattr(self, name, layers.get(name))
        finally:
            self._tracker.lock()
        self.adapter = adapter

    def call(
        self,
        inputs: Any,
        padding_mask: Any = None,
        attention_mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
    ) -> Any:
        """As `keras_hub.layers.TransformerEncoder.call`, with the adapters.

        Args:
            inputs: `[batch, length, hidden_dim]` floating-point tensor.
            padding_mask: `[batch, length]`, true or 1 where there is a token.
            attention_mask: `[batch, length, length]`, true or 1 where the row
                may attend to the column.
            training: Whether dropout is active.
            return_attention_scores: Return `(output, scores)`.

        Returns:
            A tensor of the inputs' shape.
        """
        scores = None
        if self.fixed:
            training = False

        def attend(x: Any) -> Any:
            nonlocal scores
            mask = _attention_mask(x, padding_mask, attention_mask)
            x = self._self_attention_layer(
                query=x,
                value=x,
                attention_mask=mask,
                training=training,
                return_attention_scores=return_attention_scores,
            )
            if return_attention_scores:
                x, scores = x
            return self._self_attention_dropout(x, training=training)

        def feed_forward(x: Any) -> Any:
            x = self._feedforward_intermediate_dense(x)
            x = self._feedforward_output_dense(x)
            return self._feedforward_dropout(x, training=training)

        x = self._sublayer(
            inputs,
            attend,
            "attention",
            self._self_attention_layer_norm,
            training,
        )
        x = self._sublayer(
            x,
            feed_forward,
            "feed_forward",
            self._feedforward_layer_norm,
            training,
        )
        return (x, scores) if return_attention_scores else x

    def _sublayer(
        self, x: Any, function: Any, name: str, layer_norm: Any, training: Any
    ) -> Any:
        adapter = getattr(self, f"{name}_adapter")
        task = task_functions()
        residual = x
        if self.normalize_first:
            x = layer_norm(x)
        sublayer_input = x
        x = function(x)
        if task is not None:
            x = task.adapter(f"{self.path}/{name}_adapter", x)
        elif adapter is not None and self.adapter is not None:
            if self.adapter.parallel:
                x = x + adapter(sublayer_input, training=training)
            elif self.adapter.reads_layer_norm:
                x = x + adapter(layer_norm(x + residual), training=training)
            else:
                x = adapter(x, training=training)
        x = x + residual
        return x if self.normalize_first else layer_norm(x)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["adapter"] = None if self.adapter is None else self.adapter.to_dict()
        return config


def _attention_mask(inputs: Any, padding_mask: Any, attention_mask: Any) -> Any:
    """Both masks as one `[batch, 1 or length, length]` int32 mask, or `None`."""
    if padding_mask is None:
        padding_mask = getattr(inputs, "_keras_mask", None)
    if padding_mask is not None:
        padding_mask = keras.ops.cast(
            keras.ops.expand_dims(padding_mask, axis=1), "int32"
        )
    if attention_mask is None:
        return padding_mask
    attention_mask = keras.ops.cast(attention_mask, "int32")
    if padding_mask is None:
        return attention_mask
    return keras.ops.minimum(padding_mask, attention_mask)
