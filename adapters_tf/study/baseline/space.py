"""What is searched for: the hyperparameters of a small text model."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras_tuner


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """A small text model: token vectors, an encoder, pooling, hidden layers.

    Attributes:
        embedding: Source of the vectors: `"base"`, the word-piece embedding table of
            the study's base; `"file"`, a file of word vectors; `"random"`.
        embedding_trained: Whether they are trained; `"random"` ones always are.
        embedding_dim: Length of `"random"` vectors.
        embedding_dropout: Rate on the vectors.
        wide: Whether the output also has a term for each token that occurs, as a
            linear model of bags of words has: the wide part of a wide and deep model.
        encoder: `"none"`, `"convolution"` or `"gru"` (in both directions).
        filters: Of each convolution.
        max_ngram: There is a convolution for each width from 1 to this.
        encoder_dropout: Rate on the convolutions' or the GRU's output.
        units: Of the GRU in each direction.
        pooling: `"mean"`, `"max"` or `"attention"`.
        hidden_layers: Number of dense layers between the text and the output.
        hidden_units: Of each of them.
        normalization: After each of them: `"none"`, `"layer"` or `"batch"`.
        hidden_dropout: Rate after each of them.
        activation: Of hidden layers and convolutions.
        learning_rate: Of Adam.
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
        """Those that the model has."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value is not None}


def choose(
    hp: keras_tuner.HyperParameters, embeddings: Sequence[str]
) -> Hyperparameters:
    """A point of the search space, as Keras Tuner chose it.

    The space follows table 5 of Houlsby et al. (2019), and is coarser where 20 trials
    explore it, not 10,000: one activation for all layers, of three not six, and at
    most three hidden layers. It has a recurrent encoder, attention and maximum
    pooling as well. The rates and the regularisation are for Adam; the paper's are
    for another optimizer.

    Args:
        hp: What Keras Tuner passes to a hypermodel.
        embeddings: The sources of token vectors to choose from.
    """
    # Each is declared whether or not it is active, as Keras Tuner wants it; one that
    # is not active is None.
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
