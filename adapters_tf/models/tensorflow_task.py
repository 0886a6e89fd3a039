"""The base class of the task models on TensorFlow, for one or more devices."""

from typing import Any

import keras
import keras_hub
import tensorflow as tf

from adapters_tf.models.arrays import example_weights, num_rows, plain_columns
from adapters_tf.models.keras_distribution import check_distribution, first_share
from adapters_tf.models.optimizer import batch_number
from adapters_tf.models.sentence_piece import restore_sentence_piece
from adapters_tf.models.train_step import train_step
from adapters_tf.models.trainable_check import check_trainable_set

without_autograph = tf.autograph.experimental.do_not_convert


class TensorFlowTask(keras_hub.models.Task):
    """The TensorFlow part of `AdapterModel`, with the same interface as `JaxTask`.

    Attributes:
        jit_default: Default of `jit_compile` in `compile`: off, because lengths differ
            from batch to batch.
    """

    jit_default = False

    def get_ready(self) -> None:
        """Prepare for `fit`, `evaluate` and `predict`, and check the distribution.

        Raises:
            ValueError: see `check_distribution`.
        """
        check_distribution(self)
        restore_sentence_piece(getattr(self.preprocessor, "tokenizer", None))

    def variable_scope(self) -> Any:
        """Return the context in which to create further variables."""
        return self.distribute_strategy.scope()

    def without_padding(self, x: dict[str, Any]) -> dict[str, Any]:
        """Cut a preprocessed batch to its longest row."""
        rows = tf.cast(x["padding_mask"], tf.int32)
        longest = tf.reduce_max(tf.reduce_sum(rows, axis=-1))
        # Use integers: Keras adds up the replicas' batches to learn their form, and
        # booleans cannot be added.
        return {n: tf.cast(v[..., :longest], tf.int32) for n, v in x.items()}

    def shuffled(self, rows: tuple[Any, ...], batch_size: int | None) -> Any:
        """Make a dataset of the rows; see `shuffled_dataset`."""
        return shuffled_dataset(rows, batch_size, self.seed)

    def _maybe_symbolic_build(
        self, iterator: Any = None, data_batch: Any = None
    ) -> None:
        # Keras's method adds up the replicas' shares of a batch to learn its form,
        # which fails if one share has fewer rows.
        strategy = self.distribute_strategy
        if iterator is not None and strategy.num_replicas_in_sync > 1:
            iterator, data_batch = None, first_share(strategy, iterator)
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def train_step(self, data: Any) -> dict[str, Any]:
        check_trainable_set(self)  # For loops that do not call `fit`.
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        outputs, loss_sum, weight_sum = train_step(
            self,
            x,
            y,
            weight,
            seed=self.seed,
            step=batch_number(self.optimizer),
            clip_norm=self.clip_norm,
        )
        self.update_loss(loss_sum, weight_sum)
        return self.compute_metrics(x, y, outputs, sample_weight=weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        outputs = self(x, training=False)
        losses = self.example_losses(y, outputs)
        weights = example_weights(weight, tf.shape(losses)[0])
        self.update_loss(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))
        return self.compute_metrics(x, y, outputs, sample_weight=weight)


def shuffled_dataset(
    rows: tuple[Any, ...], batch_size: int | None, seed: int
) -> tf.data.Dataset:
    """Make a dataset of batches, in another order in each epoch.

    keras-hub batches rows before shuffling, so it cannot shuffle them; it only warns
    and trains on them in the order of the file.

    Args:
        rows: `(x, y, sample_weight)` of columns in memory, `None` where absent.
        batch_size: Rows of a batch; 32 by default.
        seed: Seed of the order.
    """
    columns = plain_columns(rows)
    data = tf.data.Dataset.from_tensor_slices(columns)
    return data.shuffle(num_rows(columns), seed=seed).batch(batch_size or 32)
