"""The base class of models whose head reads one vector per text."""

from typing import Any

import keras
from keras import ops

from adapters_tf.errors import UserError
from adapters_tf.layers.dropout import Dropout
from adapters_tf.models.adapter_backbone import (
    AdapterBackbone,
    check_backbone,
    named_outputs,
)
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.arrays import num_rows
from adapters_tf.models.fingerprint import backbone_name
from adapters_tf.models.labels import check_texts
from adapters_tf.models.trainable_set import Tuning

HEAD_INPUTS = ("cls", "pooled", "mean")


@keras.saving.register_keras_serializable(package="adapters_tf")
class MaskedMean(keras.layers.Layer):
    """Mean over the tokens of `[batch, length, d]` where the mask is not 0."""

    def call(self, sequence: Any, padding_mask: Any) -> Any:
        weights = ops.cast(padding_mask, sequence.dtype)[:, :, None]
        total = ops.maximum(ops.sum(weights, axis=1), 1)
        return ops.sum(sequence * weights, axis=1) / total


class TextModel(AdapterModel):
    """A linear head on one vector per text; see `AdapterTextClassifier`."""

    def __init__(
        self,
        backbone: AdapterBackbone,
        num_outputs: int,
        preprocessor: Any = None,
        head_input: str = "cls",
        dropout: float = 0.1,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        hidden_layer: bool = False,
        squeeze: bool = False,
        **kwargs: Any,
    ) -> None:
        check_backbone(backbone)
        if head_input not in HEAD_INPUTS:
            raise ValueError(
                f"head_input must be one of {', '.join(HEAD_INPUTS)}. "
                f"Received: head_input={head_input!r}"
            )
        if head_input == "pooled" and not hasattr(backbone, "pooled_dense"):
            raise UserError(
                "head_input must be cls or mean on a base without a pooler. Received: "
                f"head_input='pooled' on a {backbone_name(backbone)}. What keras-hub's "
                "classifier has there is hidden_layer=True: a dense layer with tanh, "
                "which the task trains"
            )
        # === Layers ===
        dtype = backbone.dtype_policy
        head_dropout = Dropout(dropout, dtype=dtype, name="head_dropout")
        # Keep float32 under mixed precision too, because logits feed a softmax.
        logits = keras.layers.Dense(
            num_outputs,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype="float32",
            name="logits",
        )
        head = [logits]
        if hidden_layer:
            hidden = keras.layers.Dense(
                backbone.hidden_dim,
                activation="tanh",
                kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
                dtype=dtype,
                name="head_hidden",
            )
            hidden_dropout = Dropout(dropout, dtype=dtype, name="head_hidden_dropout")
            head = [hidden, logits]

        # === Functional Model ===
        inputs = backbone.input
        encoded = named_outputs(backbone(inputs))
        if head_input == "pooled":
            features = encoded["pooled_output"]
        elif head_input == "mean":
            mean = MaskedMean(dtype=dtype, name="mean")
            features = mean(encoded["sequence_output"], inputs["padding_mask"])
        else:
            features = encoded["sequence_output"][:, 0, :]
        features = head_dropout(features)
        if hidden_layer:
            features = hidden_dropout(hidden(features))
        outputs = logits(features)
        if squeeze:
            outputs = ops.squeeze(outputs, axis=-1)
        self.head_input = head_input
        self.dropout = dropout
        self.hidden_layer = hidden_layer
        super().__init__(
            inputs,
            encoded,
            outputs,
            backbone=backbone,
            head=head,
            preprocessor=preprocessor,
            tuning=Tuning.of(tuning),
            reads_pooler=head_input == "pooled",
            **kwargs,
        )

    def check_rows(self, x: Any, may_be_empty: bool = False) -> int | None:
        check_texts(x, may_be_empty)
        return num_rows(x)

    def head_config(self) -> dict[str, Any]:
        config = {"head_input": self.head_input, "dropout": self.dropout}
        # Omit the default: existing adapter files are compared with this.
        return config | ({"hidden_layer": True} if self.hidden_layer else {})
