"""Extractive question answering: where in the context the answer stands."""

from typing import Any

import keras
from keras import ops

from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.adapter_model import AdapterModel, encode
from adapters_tf.models.losses import SpanLoss
from adapters_tf.models.trainable_set import Tuning


@keras.saving.register_keras_serializable(package="adapters_tf")
class MaskPadding(keras.layers.Layer):
    """Pushes the logits `[batch, length, 2]` of padding out of reach."""

    def call(self, logits: Any, padding_mask: Any) -> Any:
        mask = ops.cast(padding_mask, logits.dtype)[:, :, None]
        return logits * mask - 1e9 * (1 - mask)


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterQuestionAnswerer(AdapterModel):
    """Start and end logits for each token (SQuAD v1.1; BERT's `run_squad.py`).

    Head: a linear layer on every token's vector, no dropout. Outputs are
    `[batch, length, 2]` float32 logits; labels are `[batch, 2]` positions of
    the answer's first and last token. `adapters_tf.data.question_features` makes
    inputs of questions and contexts, and answers of logits.

    Args:
        backbone: The encoder, such as a `BertAdapterBackbone`.
        preprocessor: Kept for the tokenizer; inputs are tensors.
        tuning: See `Tuning`.
    """

    kind = "question_answering"
    default_loss = SpanLoss

    def __init__(
        self,
        backbone: AdapterBackbone,
        preprocessor: Any = None,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        **kwargs: Any,
    ) -> None:
        # === Layers ===
        logits = keras.layers.Dense(
            2,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype="float32",
            name="logits",
        )
        mask = MaskPadding(dtype="float32", name="mask_padding")

        # === Functional Model ===
        inputs = backbone.input
        tuning = Tuning.of(tuning)
        sequence = encode(backbone, inputs, tuning)["sequence_output"]
        outputs = mask(logits(sequence), inputs["padding_mask"])
        super().__init__(
            inputs,
            outputs,
            backbone=backbone,
            head=[logits],
            preprocessor=preprocessor,
            tuning=tuning,
            reads_pooler=False,
            **kwargs,
        )

    def head_config(self) -> dict[str, Any]:
        return {}
