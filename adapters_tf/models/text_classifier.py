"""Classification of texts."""

from typing import Any

import keras

from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.text_model import TextModel
from adapters_tf.models.trainable_set import Tuning


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterTextClassifier(TextModel):
    """Classification of a text or a pair of texts.

    Head: the representation of the first token, dropout, a linear layer
    (paper, section 2.1). Outputs are `[batch, num_classes]` float32 logits.

    Args:
        backbone: The encoder, such as a `BertAdapterBackbone`.
        num_classes: Number of classes.
        preprocessor: keras-hub preprocessor for strings, or `None`.
        head_input: `"cls"`: the last block's vector of the first token;
            `"pooled"`: that through the pretrained, frozen tanh pooler, as in
            the reference code; `"mean"`: the mean over the tokens.
        dropout: Dropout rate on the head's input.
        tuning: See `Tuning`.
        hidden_layer: A dense layer with tanh before the linear one, as in the default
            head of AdapterHub.

    Attributes:
        min_classes: The fewest classes that make sense.
    """

    kind = "classification"
    min_classes = 2
    default_loss = staticmethod(
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )

    def __init__(
        self,
        backbone: AdapterBackbone,
        num_classes: int,
        preprocessor: Any = None,
        head_input: str = "cls",
        dropout: float = 0.1,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        hidden_layer: bool = False,
        **kwargs: Any,
    ) -> None:
        if num_classes < self.min_classes:
            raise ValueError(
                f"num_classes must be {self.min_classes} or more. Received: "
                f"num_classes={num_classes}"
            )
        super().__init__(
            backbone,
            num_classes,
            preprocessor,
            head_input,
            dropout,
            tuning,
            hidden_layer=hidden_layer,
            **kwargs,
        )
        self.num_classes = num_classes

    def default_metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def head_config(self) -> dict[str, Any]:
        return {"num_classes": self.output_shape[-1], **super().head_config()}
