"""A small encoder of texts, without attention between their tokens."""

from collections.abc import Callable
from typing import Any, cast

import keras
from keras import ops

from adapters_tf.study.baseline.space import Hyperparameters
from adapters_tf.study.baseline.token_tables import TokenTable


class TextEncoder(keras.layers.Layer):
    """Tokens to one vector for each text.

    Token vectors, dropout, then convolutions or a GRU, then pooling. Padding has no
    influence on the vector.

    Args:
        hyperparameters: What it is made of.
        table: The tokens and, where they have them, their vectors.
        seed: Returns another seed at each call.
        **kwargs: As every layer.

    Call arguments:
        tokens: `[batch, length]` int32, each row of at least one token, then 0s.
        training: Whether dropout is on.

    Returns:
        `[batch, width]`.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        table: TokenTable,
        seed: Callable[[], int],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        h = hyperparameters
        if table.vectors is None:
            self.embedding = keras.layers.Embedding(
                table.size,
                h.embedding_dim,
                embeddings_initializer=keras.initializers.RandomNormal(
                    stddev=0.1, seed=seed()
                ),
            )
        else:
            self.embedding = keras.layers.Embedding(
                *table.vectors.shape,
                weights=[table.vectors],
                trainable=h.embedding_trained,
            )
        self.embedding_dropout = keras.layers.Dropout(h.embedding_dropout, seed=seed())
        self.convolutions = []
        self.gru = None
        if h.encoder == "convolution":
            self.convolutions = [
                keras.layers.Conv1D(
                    h.filters,
                    width,
                    padding="same",
                    activation=h.activation,
                    kernel_initializer=keras.initializers.GlorotUniform(seed()),
                    kernel_regularizer=keras.regularizers.L2(h.l2),
                )
                for width in range(1, cast(int, h.max_ngram) + 1)
            ]
        elif h.encoder == "gru":
            units = cast(int, h.units)
            self.gru = keras.layers.Bidirectional(
                _gru(units, seed), backward_layer=_gru(units, seed, backwards=True)
            )
        self.encoder_dropout = keras.layers.Dropout(h.encoder_dropout or 0, seed=seed())
        self.pooling = h.pooling
        self.attention = None
        if h.pooling == "attention":
            self.attention = keras.layers.Dense(
                1, kernel_initializer=keras.initializers.GlorotUniform(seed())
            )

    def call(self, tokens: Any, training: bool = False) -> Any:
        mask = ops.not_equal(tokens, 0)
        places = ops.expand_dims(mask, -1)
        x = self.embedding_dropout(self.embedding(tokens), training=training)
        # A convolution that reaches past the end sees zeros, however long the batch.
        x = ops.where(places, x, 0.0)
        if self.convolutions:
            x = ops.concatenate([conv(x) for conv in self.convolutions], axis=-1)
        elif self.gru is not None:
            x = self.gru(x, mask=mask, training=training)
        x = self.encoder_dropout(x, training=training)
        if self.pooling == "max":
            return ops.max(ops.where(places, x, -1e9), axis=1)
        if self.attention is None:
            weights = ops.cast(places, x.dtype)
            weights = weights / ops.sum(weights, axis=1, keepdims=True)
        else:
            scores = ops.where(places, self.attention(x), -1e9)
            weights = ops.softmax(scores, axis=1)
        return ops.sum(x * weights, axis=1)


def _gru(units: int, seed: Callable[[], int], backwards: bool = False) -> Any:
    return keras.layers.GRU(
        units,
        return_sequences=True,
        go_backwards=backwards,
        kernel_initializer=keras.initializers.GlorotUniform(seed()),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seed()),
    )
