"""Scores for texts."""

from typing import Any

import keras

from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.text_model import TextModel
from adapters_tf.models.trainable_set import Tuning


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterTextRegressor(TextModel):
    """A score for a text or a pair of texts, trained on the squared error.

    Outputs are `[batch]` float32 scores. Arguments as `AdapterTextClassifier`,
    without `num_classes`.
    """

    kind = "regression"
    default_loss = keras.losses.MeanSquaredError

    def __init__(
        self,
        backbone: AdapterBackbone,
        preprocessor: Any = None,
        head_input: str = "cls",
        dropout: float = 0.1,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        hidden_layer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            backbone,
            1,
            preprocessor,
            head_input,
            dropout,
            tuning,
            hidden_layer=hidden_layer,
            squeeze=True,
            **kwargs,
        )

    def example_losses(self, y: Any, outputs: Any) -> Any:
        # Two [batch] vectors: the loss's own mean would join the examples.
        return super().example_losses(y[:, None], outputs[:, None])
