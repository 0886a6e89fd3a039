"""keras-hub's encoder block with places for adapters, or for a task's tensors."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import keras
import keras_hub
from keras import ops

from adapters_tf.adapters import AdapterMethod, adapter_from_dict
from adapters_tf.adapters.base import PROJECTIONS, SITES, Site
from adapters_tf.layers.activations import recomputable
from adapters_tf.layers.dropout import Dropout
from adapters_tf.layers.rebind import Overlay, rebind


class TaskFunctions(Protocol):
    """A task's replacement for adapters and LayerNorm parameters."""

    def adapt(self, block: str, site: Site) -> Any:
        """Return the tensor that replaces `site.outputs` in a block.

        Args:
            block: The block's path, such as `"transformer_layer_0"`.
            site: The values that the block has computed.
        """

    def scale_and_shift(self, path: str, normalized: Any) -> Any:
        """Apply the task's own gamma and beta as a LayerNorm's last step.

        Args:
            path: The LayerNorm's path, such as `"embeddings_layer_norm"`.
            normalized: `[batch, length, d]`, with zero mean and unit variance.
        """


_functions: contextvars.ContextVar[TaskFunctions | None] = contextvars.ContextVar(
    "adapters_tf_task_functions", default=None
)


@contextlib.contextmanager
def task_scope(functions: TaskFunctions) -> Iterator[None]:
    """Context in which encoder blocks without adapters compute with `functions`.

    This lets one base serve many tasks whose tensors are arguments: adapters of any
    size, or different ones for each row of a batch.

    Args:
        functions: The computation at each site and LayerNorm.
    """
    token = _functions.set(functions)
    try:
        yield
    finally:
        _functions.reset(token)


def task_functions() -> TaskFunctions | None:
    """Return the functions of the innermost `task_scope`, or `None`."""
    return _functions.get()


@keras.saving.register_keras_serializable(package="adapters_tf")
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's LayerNorm with gamma and beta that a `task_scope` can replace."""

    def call(self, inputs: Any) -> Any:
        functions = task_functions()
        if functions is None:
            return super().call(inputs)
        normalized = ops.layer_normalization(
            inputs, axis=self.axis, epsilon=self.epsilon
        )
        outputs = functions.scale_and_shift(self.path, normalized)
        return ops.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable(package="adapters_tf")
class Projection(keras.layers.EinsumDense):
    """A dense layer of the attention whose outputs a method may change.

    Attributes:
        on_output: Function of inputs, outputs and `training` that returns the new
            outputs; `None` keeps the outputs.
    """

    on_output: Callable[[Any, Any, bool | None], Any] | None = None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = super().call(inputs, training=training)
        if self.on_output is None:
            return outputs
        return self.on_output(inputs, outputs, training)


@keras.saving.register_keras_serializable(package="adapters_tf")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """Keras's multi-head attention with this library's `Dropout` and `Projection`s."""

    build = rebind(keras.layers.MultiHeadAttention.build, EinsumDense=Projection)
    _make_output_dense = rebind(
        keras.layers.MultiHeadAttention._make_output_dense, EinsumDense=Projection
    )
    _build_attention = rebind(
        keras.layers.MultiHeadAttention._build_attention, Dropout=Dropout
    )

    def projections(self) -> dict[str, Projection]:
        """Return the dense layers by site name; see `PROJECTIONS`."""
        layers = (
            self._query_dense,
            self._key_dense,
            self._value_dense,
            self._output_dense,
        )
        return dict(zip(PROJECTIONS, layers, strict=True))


# keras-hub's constructors see this as `keras`. It replaces only the layers that draw
# random numbers and those with task-specific parameters.
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
    """An encoder block with the layers of a parameter-efficient method.

    With bottleneck adapters, the default method, each adapted sub-layer computes, in
    the order of the reference code (`modeling.py` lines 943-946 and 962-965):
    projection, dropout, adapter, residual add, LayerNorm. Without adapters the block
    equals `keras_hub.layers.TransformerEncoder` bit for bit, and its variables have the
    same paths. Inside a `task_scope`, such a block uses the scope's adapters and
    LayerNorm parameters instead.

    Args:
        *args: As `keras_hub.layers.TransformerEncoder`.
        adapter: The adapters' configuration, such as an `AdapterConfig`, or its
            `to_dict`; `None` for a block without adapters. Only the backbone reads
            its `layers` field.
        **kwargs: As `keras_hub.layers.TransformerEncoder`.

    Attributes:
        attention_adapter: The bottleneck adapter after self-attention, or `None`.
        feed_forward_adapter: The one after the feed-forward sub-layer, or `None`.
        fixed: Run in inference mode even during training.
        on_symbolic_call: Function called with the output of each call on Keras tensors,
            or `None`. A block with shared weights is called several times, and its
            `output` is only that of the first call.
    """

    attention_adapter: keras.layers.Layer | None = None
    feed_forward_adapter: keras.layers.Layer | None = None
    fixed = False
    on_symbolic_call: Callable[[keras.KerasTensor], None] | None = None

    def __init__(
        self,
        *args: Any,
        adapter: AdapterMethod | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(adapter, dict):
            adapter = adapter_from_dict(adapter)
        self.adapter = adapter

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
        dense.activation = recomputable(dense.activation)
        for name, projection in self._self_attention_layer.projections().items():
            projection.on_output = functools.partial(self._project, name)
        self._inputs_shape = tuple(inputs_shape)
        for name, layer in self._make_adapters(self.adapter).items():
            setattr(self, name, layer)

    def _make_adapters(
        self, adapter: AdapterMethod | None
    ) -> dict[str, keras.layers.Layer]:
        """Build the method's new layers; the keys are attribute names."""
        if adapter is None:
            return {}
        adapter.check_block(self.normalize_first)
        projections = self._self_attention_layer.projections()
        hidden = self._inputs_shape
        heads = projections["query"].compute_output_shape(hidden)
        layers = {}
        for site in adapter.sites():
            layer = adapter.make_layer(
                site,
                heads if site == "attention_output" else hidden,
                heads if site in ("query", "key", "value") else hidden,
                dtype=self.dtype_policy,
                name=f"{site}_{adapter.suffix}",
            )
            layers[layer.name] = layer
        return layers

    def replace_adapters(self, adapter: AdapterMethod | None) -> None:
        """Replace the block's adapters with freshly initialised ones.

        The new variables have the same paths as in a block built with this
        configuration. Functions compiled with the old adapters keep using them, so the
        caller must discard these functions.

        Args:
            adapter: The new adapters' configuration, or `None` for none.

        Raises:
            ValueError: if the configuration does not fit the block, which is then
                unchanged.
        """
        with keras.name_scope(self.name, caller=self):
            layers = self._make_adapters(adapter)
        # Keras forbids adding layers to a built layer, so unlock its tracker.
        self._tracker.unlock()
        try:
            for layer in self.adapter_layers().values():
                self._tracker.untrack(layer)
                delattr(self, layer.name)
            for name, layer in layers.items():
                setattr(self, name, layer)
        finally:
            self._tracker.lock()
        self.adapter = adapter

    def adapter_layers(self) -> dict[str, keras.layers.Layer]:
        """Return the layers that the method added, by site name."""
        suffix = None if self.adapter is None else self.adapter.suffix
        layers = {site: getattr(self, f"{site}_{suffix}", None) for site in SITES}
        return {site: layer for site, layer in layers.items() if layer is not None}

    def call(
        self,
        inputs: Any,
        padding_mask: Any = None,
        attention_mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
    ) -> Any:
        """Run `keras_hub.layers.TransformerEncoder.call` with the adapters.

        Args:
            inputs: `[batch, length, hidden_dim]` floating-point tensor.
            padding_mask: `[batch, length]`, true or 1 for tokens, false or 0 for
                padding.
            attention_mask: `[batch, length, length]`, true or 1 where the row may
                attend to the column.
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
        residual = x
        if self.normalize_first:
            x = layer_norm(x)
        inputs = x
        outputs = function(x)
        site = Site(name, inputs, outputs, lambda: layer_norm(outputs + residual))
        x = self._adapted(site, training)
        x = x + residual
        return x if self.normalize_first else layer_norm(x)

    def _project(self, name: str, inputs: Any, outputs: Any, training: Any) -> Any:
        if self.fixed:
            training = False
        return self._adapted(Site(name, inputs, outputs), training)

    def _adapted(self, site: Site, training: Any) -> Any:
        """Return the adapted outputs of a site."""
        task = task_functions()
        if task is not None:
            return task.adapt(self.path, site)
        layer = self.adapter_layers().get(site.name)
        if layer is None:
            return site.outputs
        return cast(AdapterMethod, self.adapter).adapt(layer, site, training)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["adapter"] = None if self.adapter is None else self.adapter.to_dict()
        return config


def _attention_mask(inputs: Any, padding_mask: Any, attention_mask: Any) -> Any:
    """Merge both masks into a `[batch, 1 or length, length]` int32 mask or `None`."""
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
