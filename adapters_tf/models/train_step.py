"""The TensorFlow train step that `model.fit` and the trainer share."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from adapters_tf.layers.dropout import dropout_scope
from adapters_tf.layers.gelu import recompute_gelu
from adapters_tf.models.arrays import example_weights
from adapters_tf.models.optimizer import check_dtypes, check_optimizer


def _place_in_global_batch(rows: Any, weight_sum: Any) -> tuple[Any, Any]:
    """Return `(first_row, global weight sum)` for this replica's share of the batch."""
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync == 1:
        return 0, weight_sum
    context = tf.distribute.get_replica_context()
    replica = context.replica_id_in_sync_group
    # Shares may be uneven, so replicas exchange their row counts. They are floats,
    # because tensors of one type are exchanged together.
    count = tf.cast(rows, tf.float32)
    mine = tf.one_hot(replica, strategy.num_replicas_in_sync) * count
    shares, weight_sum = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [mine, weight_sum]
    )
    first_row = tf.cumsum(shares, exclusive=True)[replica]
    return tf.cast(first_row, tf.int32), weight_sum


def train_step(
    model: Any,
    x: Any,
    y: Any,
    weight: Any,
    *,
    seed: Any,
    step: Any,
    clip_norm: float | None = None,
    jit_compile: bool = False,
    forward: Callable[..., Any] | None = None,
) -> tuple[Any, Any, Any]:
    """Run forward, backward and update in a replica's context.

    The loss is the mean over the examples of the *global* batch, so every example
    counts the same even if replicas have uneven shares. Gradients are summed over the
    replicas before clipping, as on one device.

    Args:
        model: A compiled `AdapterModel`; `model.optimizer` updates
            `model.trainable_variables`.
        x: The model's inputs for this replica's rows.
        y: Labels, `[rows, ...]`.
        weight: `[rows]` or `[rows, 1]` weights of the examples; `None` means 1 each.
        seed: The run's seed, for dropout.
        step: The step, for dropout.
        clip_norm: Clip the global norm of the summed gradients to this.
        jit_compile: Compile forward and backward with XLA, once per shape. The update
            stays outside, so that replicas can exchange gradients.
        forward: Function called as `forward(x, training=True)` that computes the
            outputs with the model's variables; by default the model itself. To run only
            a part of the model, see `FrozenPrefix`.

    Returns:
        `(outputs, loss_sum, weight_sum)` of this replica's rows: the model's
        outputs, the weighted sum of the examples' losses and the sum of their
        weights, both float32.

    Raises:
        ValueError: see `check_optimizer` and `check_dtypes`.
    """
    check_optimizer(model.optimizer)
    check_dtypes(model.trainable_variables)
    variables = [v.value for v in model.trainable_variables]
    rows = tf.shape(tf.nest.flatten(x)[0])[0]
    weight = example_weights(weight, rows)
    weight_sum = tf.reduce_sum(weight)
    first_row, global_sum = _place_in_global_batch(rows, weight_sum)

    def forward_backward(x, y, weight, step, first_row, global_sum):  # type: ignore[no-untyped-def]
        with (
            dropout_scope(seed, step, first_row),
            recompute_gelu(),
            tf.GradientTape() as tape,
        ):
            outputs = (forward or model)(x, training=True)
            loss_sum = tf.reduce_sum(model.example_losses(y, outputs) * weight)
            loss = tf.math.divide_no_nan(loss_sum, global_sum)
        gradients = [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(tape.gradient(loss, variables), variables, strict=True)
        ]
        return outputs, loss_sum, gradients

    if jit_compile:
        forward_backward = tf.function(forward_backward, jit_compile=True)
    outputs, loss_sum, gradients = forward_backward(
        x, y, weight, tf.convert_to_tensor(step), first_row, global_sum
    )
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1:
        gradients = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, gradients
        )
    if clip_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
    if replicas > 1:
        # The Keras optimizer sums over the replicas again.
        gradients = [g / replicas for g in gradients]
    model.optimizer.apply(gradients, model.trainable_variables)
    return outputs, loss_sum, weight_sum
