"""A small text model without a pretrained encoder."""

from typing import Any, cast

import keras
import numpy as np
from keras import ops

from adapters_tf.study.baseline.space import Hyperparameters
from adapters_tf.study.baseline.text_encoder import TextEncoder
from adapters_tf.study.baseline.token_tables import TokenTable


def build_text_model(
    hyperparameters: Hyperparameters,
    table: TokenTable,
    num_outputs: int,
    regression: bool,
    seed: int,
) -> keras.Model:
    """A compiled model of rows of one or two texts.

    The texts of a pair are encoded by themselves, with the same weights, and compared
    as in InferSent (Conneau et al., 2017): [u, v, |u - v|, u * v]. Read as one text,
    a pair would hide from these encoders what their tokens have in common: only
    attention between the tokens finds that.

    Args:
        hyperparameters: What the model is made of.
        table: The rows' tokens.
        num_outputs: Number of classes, or 1.
        regression: Whether the labels are numbers.
        seed: Of the initial weights and of dropout; Keras's global one is not used.

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
        # Zero at first, so a token that is not in the training rows says nothing.
        wide = keras.layers.Embedding(table.size, num_outputs, "zeros", name="wide")
        tokens = ops.concatenate(inputs, axis=-1) if len(inputs) > 1 else inputs[0]
        places = ops.expand_dims(ops.cast(ops.not_equal(tokens, 0), "float32"), -1)
        outputs = outputs + ops.sum(wide(tokens) * places, axis=1)
    model = keras.Model(inputs, outputs)
    loss: Any = keras.losses.MeanSquaredError()
    if not regression:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Batches differ in length: XLA would compile each of them.
    optimizer = keras.optimizers.Adam(h.learning_rate)
    # A first step that makes variables is traced twice.
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, loss, jit_compile=False)
    return model


def num_trained(model: keras.Model, table: TokenTable) -> int:
    """How many parameters training can change.

    Of a trained table of tokens these are the rows of the tokens that occur in
    training rows; the others keep what they began with.
    """
    total = 0
    for variable in model.trainable_variables:
        rows = variable.shape[0]
        if variable.path.endswith("embeddings"):
            rows = table.num_trained
        total += rows * int(np.prod(variable.shape[1:]))
    return total
