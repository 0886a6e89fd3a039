"""The base class of the task models on TensorFlow, for one or more devices."""

from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from adapters_tf.models.arrays import (
    TOKENIZED,
    example_weights,
    map_columns,
    num_rows,
    plain_columns,
)
from adapters_tf.models.optimizer import batch_number
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.tokenizers import restore_sentence_piece
from adapters_tf.models.train_step import train_step
from adapters_tf.models.trainable_set import check_trainable_set

without_autograph = tf.autograph.experimental.do_not_convert

# Texts with at most so many tokens are tokenized at once, so many rows at a time.
_MOST_TOKENS = 2**20
_ROWS_AT_A_TIME = 256


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

    def tokenized(self, x: Any) -> Any:
        """Tokenize a few rows of texts at once, before they become a dataset.

        A dataset of texts traces a graph of the tokenizer in every call of `fit`,
        `evaluate` and `predict`, which takes about a second even for one text. Only
        keras-hub's WordPiece is known to give the same outside of a graph; its byte
        pairs do not. And a preprocessor of other making may draw random numbers.

        Args:
            x: Texts in memory, or the model's input tensors.

        Returns:
            A dictionary of `TOKENIZED`, or `x` itself if it holds tensors or many rows,
            or if the tokenizer or preprocessor is another.
        """
        tokenizer = getattr(self.preprocessor, "tokenizer", None)
        parts = (self.preprocessor, tokenizer)
        known = all(type(part).__module__.startswith("keras_hub.") for part in parts)
        word_piece = isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer)
        if isinstance(x, dict) or not known or not word_piece:
            return x
        rows = num_rows(x)
        if not 0 < rows * self.preprocessor.sequence_length <= _MOST_TOKENS:
            return x
        batches = [
            preprocess_texts(
                self.preprocessor,
                map_columns(x, lambda c, i=i: tf.constant(c[i : i + _ROWS_AT_A_TIME])),
            )
            for i in range(0, rows, _ROWS_AT_A_TIME)
        ]
        columns = {
            name: np.concatenate([batch[name] for batch in batches])
            for name in batches[0]
        }
        return {TOKENIZED: columns}

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


_INSTEAD = "adapters-tf-train (AdapterTrainer in Python) trains there."


def check_distribution(model: keras.Model) -> None:
    """Reject setups that Keras 3 does not support correctly under `tf.distribute`.

    One device and `MirroredStrategy` are correct, with batches of any size.

    Args:
        model: A compiled model.

    Raises:
        ValueError: if the model was built in the scope of another strategy, or is
            compiled for several replicas with XLA or several steps per execution.
    """
    strategy = model.distribute_strategy
    if isinstance(
        strategy,
        tf.distribute.MultiWorkerMirroredStrategy
        | tf.distribute.experimental.ParameterServerStrategy
        | tf.distribute.TPUStrategy,
    ):
        raise ValueError(
            "Keras's fit, evaluate and predict are for models on one device or of a "
            f"MirroredStrategy. Received: a model of a {type(strategy).__name__}. "
            f"{_INSTEAD}"
        )
    if strategy.num_replicas_in_sync == 1:
        return
    if model.jit_compile:
        raise ValueError(
            "Keras cannot compile a step of several replicas with XLA. Received: "
            f"jit_compile=True with {strategy.num_replicas_in_sync} replicas. "
            f"Compile with jit_compile=False; or {_INSTEAD}"
        )
    if model.steps_per_execution != 1:
        raise ValueError(
            "Keras cannot run several steps of several replicas at once. Received: "
            f"steps_per_execution={model.steps_per_execution} with "
            f"{strategy.num_replicas_in_sync} replicas. Compile with "
            f"steps_per_execution=1; or {_INSTEAD}"
        )


def first_share(strategy: tf.distribute.Strategy, iterator: Any) -> Any:
    """Return the first replica's share of the first batch.

    Args:
        strategy: The strategy.
        iterator: Keras's epoch iterator.
    """
    for _, _, batches in iterator:
        return tf.nest.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], next(batches)
        )
