"""Exported bottleneck adapters: their tensors and their computation."""

import functools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from keras import ops

from adapters_tf.adapters.base import (
    SUBLAYERS,
    AtSite,
    Rows,
    Site,
    TaskForm,
    TaskTensor,
)
from adapters_tf.layers.activations import activation_code

# Names of an adapter's variables, as in the adapter file.
DOWN, UP = "down_projection", "up_projection"
INNER_NORM = ("layer_norm/gamma", "layer_norm/beta")
# One array holds all further layers of a deep bottleneck.
DEEP = ("bottleneck_layers/kernel", "bottleneck_layers/bias")
EPSILON = 1e-12  # Epsilon of the LayerNorm inside an adapter.
# Exported tasks store these numbers to say what their adapters read.
SERIAL, PARALLEL, READS_LAYER_NORM = range(3)


def bottleneck(
    x: Any,
    down: Callable[[Any], Any],
    activate: Callable[[Any], Any],
    up: Callable[[Any], Any],
    deeper: Callable[[Any], Any] | None = None,
    normalize: Callable[[Any], Any] | None = None,
) -> Any:
    """Compute a bottleneck adapter: `up(deeper(activate(down(normalize(x)))))`.

    The Keras layer, an exported task and rows of many tasks pass different functions.

    Args:
        x: `[..., d]`, the adapter's input.
        down: The projection to the bottleneck.
        activate: The non-linearity.
        up: The projection back to `d`.
        deeper: The further bottleneck layers, with their own non-linearities.
        normalize: The LayerNorm on the input.

    Returns:
        `[..., d]`, without the residual.
    """
    if normalize is not None:
        x = normalize(x)
    x = activate(down(x))
    if deeper is not None:
        x = deeper(x)
    return up(x)


class SerialForm(TaskForm):
    """Adapters as in the paper: serial, one bottleneck layer, no inner LayerNorm.

    A site without an adapter has a bottleneck of 0 units and an up bias of zeros.
    """

    name = "serial"
    sites = SUBLAYERS
    suffix = "adapter"

    def once(self) -> tuple[TaskTensor, ...]:
        return (TaskTensor("activation", (), dtype="int32"),)

    def at_site(self, hidden_dim: int) -> tuple[TaskTensor, ...]:
        return (
            TaskTensor(f"{DOWN}/kernel", (hidden_dim, None)),
            TaskTensor(f"{DOWN}/bias", (None,)),
            TaskTensor(f"{UP}/kernel", (None, hidden_dim)),
            TaskTensor(f"{UP}/bias", (hidden_dim,)),
        )

    def option_values(self, config: Any) -> dict[str, np.ndarray]:
        activation = config.activation if config else "linear"
        return {"activation": np.array(activation_code(activation), np.int32)}

    def for_one_task(self, tensors: dict[str, Any]) -> AtSite:
        import tensorflow as tf

        def at_site(path: str, site: Site) -> Any:
            outputs = site.outputs + _one(tensors, path, site.outputs)
            return tf.ensure_shape(outputs, site.outputs.shape)

        return at_site

    def for_rows(self, bank: dict[str, Any], rows: Rows) -> AtSite:
        from adapters_tf.adapters.bottleneck_rows import of_rows

        compute = of_rows(bank, rows)

        def at_site(path: str, site: Site) -> Any:
            return rows.apply(
                lambda x, tasks: x + compute(path, x, tasks), site.outputs
            )

        return at_site


class BottleneckForm(SerialForm):
    """Adapters of every variant: parallel, deep, with a LayerNorm before or inside."""

    name = "bottleneck"

    def once(self) -> tuple[TaskTensor, ...]:
        return (*super().once(), TaskTensor("placement", (), dtype="int32"))

    def at_site(self, hidden_dim: int) -> tuple[TaskTensor, ...]:
        kernel, bias = DEEP
        return (
            *super().at_site(hidden_dim),
            *(TaskTensor(name, (None,), ragged=True) for name in INNER_NORM),
            TaskTensor(kernel, (None, None, None), ragged=True),
            TaskTensor(bias, (None, None), ragged=True),
        )

    def option_values(self, config: Any) -> dict[str, np.ndarray]:
        placement = SERIAL
        if config is not None and config.parallel:
            placement = PARALLEL
        elif config is not None and config.reads_layer_norm:
            placement = READS_LAYER_NORM
        options = super().option_values(config)
        return options | {"placement": np.array(placement, np.int32)}

    def site_values(
        self, variables: dict[str, np.ndarray], path: str, hidden_dim: int
    ) -> dict[str, np.ndarray]:
        values = super().site_values(variables, path, hidden_dim)
        for name in DEEP:
            part = name.rsplit("/", 1)[1]
            layers, i = [], 1
            while f"{path}/bottleneck_layer_{i}/{part}" in variables:
                layers.append(variables[f"{path}/bottleneck_layer_{i}/{part}"])
                i += 1
            if layers:
                values[f"{path}/{name}"] = np.stack(layers)
        return values

    def for_one_task(self, tensors: dict[str, Any]) -> AtSite:
        import tensorflow as tf

        placement = tensors["placement"]

        def at_site(path: str, site: Site) -> Any:
            source = tf.where(tf.equal(placement, PARALLEL), site.inputs, site.outputs)
            source = tf.where(
                tf.equal(placement, READS_LAYER_NORM), _normalized(site), source
            )
            outputs = site.outputs + _one(
                tensors,
                path,
                source,
                functools.partial(_deeper, tensors, path),
                functools.partial(_normalize, tensors, path),
            )
            return tf.ensure_shape(outputs, site.outputs.shape)

        return at_site

    def for_rows(self, bank: dict[str, Any], rows: Rows) -> AtSite:
        import tensorflow as tf

        from adapters_tf.adapters.bottleneck_rows import of_rows

        compute = of_rows(bank, rows, every_variant=True)
        placement = tf.gather(bank["placement"], rows.tasks)

        def at_site(path: str, site: Site) -> Any:
            def chosen(code: int, given: Callable[[], Any], others: Any) -> Any:
                wanted = tf.equal(placement, code)
                return tf.cond(
                    tf.reduce_any(wanted),
                    lambda: tf.where(wanted[:, None, None], given(), others),
                    lambda: others,
                )

            source = chosen(PARALLEL, lambda: site.inputs, site.outputs)
            source = chosen(READS_LAYER_NORM, lambda: _normalized(site), source)
            source = tf.ensure_shape(source, site.outputs.shape)
            added = rows.apply(lambda x, tasks: compute(path, x, tasks), source)
            return site.outputs + added

        return at_site


def _normalized(site: Site) -> Any:
    return cast(Callable[[], Any], site.normalized)()


# === One task for all rows ===


def _one(
    tensors: dict[str, Any],
    path: str,
    x: Any,
    deeper: Callable[[Any], Any] | None = None,
    normalize: Callable[[Any], Any] | None = None,
) -> Any:
    """Compute `bottleneck` with one task's tensors; `[batch, length, d]` in and out."""
    import tensorflow as tf

    from adapters_tf.adapters.graph_activations import activate

    def dense(name: str, x: Any) -> Any:
        kernel, bias = (tensors[f"{path}/{name}/{part}"] for part in ("kernel", "bias"))
        return tf.matmul(x, kernel) + bias

    return bottleneck(
        x,
        functools.partial(dense, DOWN),
        lambda x: activate(x, tensors["activation"]),
        functools.partial(dense, UP),
        deeper,
        normalize,
    )


def _normalize(tensors: dict[str, Any], path: str, x: Any) -> Any:
    """Apply the task's LayerNorm, if it has one, to `[batch, length, d]`."""
    import tensorflow as tf

    d = x.shape[-1]
    gamma, beta = (
        # Avoid a branch: if the task's own tensor is empty, this takes the zeros.
        tf.concat([tensors[f"{path}/{name}"], tf.zeros([d])], axis=0)[:d]
        for name in INNER_NORM
    )
    normalized = ops.layer_normalization(x, axis=-1, epsilon=EPSILON)
    has_one = tf.size(tensors[f"{path}/{INNER_NORM[0]}"]) > 0
    return tf.where(has_one, normalized * gamma + beta, x)


def _deeper(tensors: dict[str, Any], path: str, x: Any) -> Any:
    """Apply the further bottleneck layers to `[batch, length, m]`."""
    import tensorflow as tf

    from adapters_tf.adapters.graph_activations import activate

    kernels, biases = (tensors[f"{path}/{name}"] for name in DEEP)

    def layer(i: Any, x: Any) -> tuple[Any, Any]:
        x = activate(tf.matmul(x, kernels[i]) + biases[i], tensors["activation"])
        return i + 1, x

    shape = tf.TensorShape([None, None, None])
    _, x = tf.while_loop(
        lambda i, x: i < tf.shape(kernels)[0],
        layer,
        [0, tf.ensure_shape(x, shape)],
        shape_invariants=[tf.TensorShape([]), shape],
    )
    return x
