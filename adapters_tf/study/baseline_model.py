"""A small text model without a pretrained encoder, and its hyperparameters."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

import keras
import keras_tuner
import numpy as np
from keras import ops

from adapters_tf.study.baseline_tokens import TokenTable


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """A small text model: token vectors, an encoder, pooling, hidden layers.

    Attributes:
        embedding: Source of the vectors: `"base"`, the word-piece embeddings of the
            study's base; `"file"`, a file of word vectors; or `"random"`.
        embedding_trained: Whether they are trained; `"random"` ones always are.
        embedding_dim: Length of `"random"` vectors.
        embedding_dropout: Rate on the vectors.
        wide: Whether to add a linear bag-of-words model to the output: the wide part of
            a wide and deep model.
        encoder: `"none"`, `"convolution"` or `"gru"` (in both directions).
        filters: Filters of each convolution.
        max_ngram: Largest width; there is a convolution of each width from 1.
        encoder_dropout: Rate on the convolutions' or the GRU's output.
        units: Units of the GRU in each direction.
        pooling: `"mean"`, `"max"` or `"attention"`.
        hidden_layers: Number of dense layers between the text and the output.
        hidden_units: Units of each dense layer.
        normalization: After each dense layer: `"none"`, `"layer"` or `"batch"`.
        hidden_dropout: Rate after each dense layer.
        activation: Activation of dense layers and convolutions.
        learning_rate: Adam's rate.
        l2: Factor of the squared weights of dense layers and convolutions.
    """

    embedding: str = "random"
    embedding_trained: bool | None = True
    embedding_dim: int | None = 64
    embedding_dropout: float = 0.0
    wide: bool = False
    encoder: str = "none"
    filters: int | None = None
    max_ngram: int | None = None
    encoder_dropout: float | None = None
    units: int | None = None
    pooling: str = "mean"
    hidden_layers: int = 0
    hidden_units: int | None = None
    normalization: str | None = None
    hidden_dropout: float | None = None
    activation: str | None = None
    learning_rate: float = 1e-3
    l2: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The hyperparameters that the model has."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value is not None}


def choose(
    hp: keras_tuner.HyperParameters, embeddings: Sequence[str]
) -> Hyperparameters:
    """Let Keras Tuner choose a point of the search space.

    The space follows table 5 of Houlsby et al. (2019), but is coarser, for 20 trials in
    place of 10,000: one activation for all layers, of three instead of six, and at most
    three hidden layers. It adds a recurrent encoder, attention and maximum pooling. The
    rates and the regularization suit Adam; the paper used another optimizer.

    Args:
        hp: What Keras Tuner passes to a hypermodel.
        embeddings: The sources of token vectors to choose from.
    """
    # Keras Tuner wants all hyperparameters declared; the inactive ones are None.
    values: dict[str, Any] = {"embedding": hp.Choice("embedding", list(embeddings))}
    given = [name for name in embeddings if name != "random"]
    with hp.conditional_scope("embedding", given):
        values["embedding_trained"] = hp.Boolean("embedding_trained")
    with hp.conditional_scope("embedding", ["random"]):
        values["embedding_dim"] = hp.Choice("embedding_dim", [64, 128, 256])
    values["embedding_dropout"] = hp.Float("embedding_dropout", 0.0, 0.4, step=0.1)
    values["wide"] = hp.Boolean("wide")
    encoders = ["none", "convolution", "gru"]
    values["encoder"] = hp.Choice("encoder", encoders)
    with hp.conditional_scope("encoder", ["convolution"]):
        values["filters"] = hp.Int("filters", 50, 200, step=50)
        values["max_ngram"] = hp.Choice("max_ngram", [2, 3])
    with hp.conditional_scope("encoder", ["gru"]):
        values["units"] = hp.Choice("units", [32, 64, 128])
    with hp.conditional_scope("encoder", encoders[1:]):
        values["encoder_dropout"] = hp.Float("encoder_dropout", 0.0, 0.4, step=0.1)
    values["pooling"] = hp.Choice("pooling", ["mean", "max", "attention"])
    values["hidden_layers"] = hp.Choice("hidden_layers", [0, 1, 2, 3])
    with hp.conditional_scope("hidden_layers", [1, 2, 3]):
        values["hidden_units"] = hp.Choice("hidden_units", [64, 128, 256])
        values["normalization"] = hp.Choice("normalization", ["none", "layer", "batch"])
        values["hidden_dropout"] = hp.Float("hidden_dropout", 0.0, 0.5, step=0.1)
    values["activation"] = hp.Choice("activation", ["relu", "silu", "tanh"])
    values["learning_rate"] = hp.Float("learning_rate", 3e-4, 1e-2, sampling="log")
    values["l2"] = hp.Choice("l2", [0.0, 1e-5, 1e-4, 1e-3])
    return Hyperparameters(**values)


class TextEncoder(keras.layers.Layer):
    """Tokens to one vector for each text.

    Token vectors, dropout, then convolutions or a GRU, then pooling. Padding has no
    influence on the vector.

    Args:
        hyperparameters: The hyperparameters of the model.
        table: The tokens, with vectors or without.
        seed: Returns a new seed at each call.
        **kwargs: Arguments of `keras.layers.Layer`.

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
        # Convolutions see zeros past the end, whatever the length of the batch.
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


def build_text_model(
    hyperparameters: Hyperparameters,
    table: TokenTable,
    num_outputs: int,
    regression: bool,
    seed: int,
) -> keras.Model:
    """Build and compile a model for rows of one or two texts.

    The texts of a pair are encoded separately, with the same weights, and compared as
    in InferSent (Conneau et al., 2017): [u, v, |u - v|, u * v]. If the pair were one
    text, these encoders could not compare its tokens, which takes attention.

    Args:
        hyperparameters: The model's hyperparameters.
        table: The rows' tokens.
        num_outputs: Number of classes, or 1.
        regression: Whether the labels are numbers.
        seed: Seed of initial weights and dropout; Keras's global seed has no effect.

    Returns:
        A model of as many inputs `[batch, length]` int32 as there are text columns,
        with outputs `[batch, num_outputs]`: logits or scores.
    """
    h = hyperparameters
    random = np.random.default_rng(seed)

    def next_seed() -> int:
        return int(random.integers(2**31))

    def dense(units: int, **kwargs: Any) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            **kwargs,
            kernel_initializer=keras.initializers.GlorotUniform(next_seed()),
            kernel_regularizer=keras.regularizers.L2(h.l2),
        )

    inputs = [keras.Input([None], dtype="int32") for _ in table.train]
    encoder = TextEncoder(h, table, next_seed, name="encoder")
    encoded = [encoder(tokens) for tokens in inputs]
    x = encoded[0]
    if len(encoded) == 2:
        u, v = encoded
        x = ops.concatenate([u, v, ops.abs(u - v), u * v], axis=-1)
    for _ in range(h.hidden_layers):
        x = dense(cast(int, h.hidden_units), activation=h.activation)(x)
        if h.normalization == "layer":
            x = keras.layers.LayerNormalization()(x)
        elif h.normalization == "batch":
            x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.Dropout(h.hidden_dropout, seed=next_seed())(x)
    outputs = dense(num_outputs, name="output")(x)
    if h.wide:
        # Zero at first, so that tokens without training rows have no effect.
        wide = keras.layers.Embedding(table.size, num_outputs, "zeros", name="wide")
        tokens = ops.concatenate(inputs, axis=-1) if len(inputs) > 1 else inputs[0]
        places = ops.expand_dims(ops.cast(ops.not_equal(tokens, 0), "float32"), -1)
        outputs = outputs + ops.sum(wide(tokens) * places, axis=1)
    model = keras.Model(inputs, outputs)
    loss: Any = keras.losses.MeanSquaredError()
    if not regression:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Without XLA, which would compile for each length of a batch.
    optimizer = keras.optimizers.Adam(h.learning_rate)
    # Otherwise the first step creates variables and is traced twice.
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, loss, jit_compile=False)
    return model


def num_trained(model: keras.Model, table: TokenTable) -> int:
    """The number of parameters that training can change.

    Of a trained embedding table, only rows of tokens in the training rows change.
    """
    total = 0
    for variable in model.trainable_variables:
        rows = variable.shape[0]
        if variable.path.endswith("embeddings"):
            rows = table.num_trained
        total += rows * int(np.prod(variable.shape[1:]))
    return total
