"""BERT with the GELU that Hugging Face's checkpoints are trained with."""

import keras
import keras_hub

from adapters_tf.layers.rebind import rebind


@keras.saving.register_keras_serializable(package="adapters_tf")
class ExactGeluBertBackbone(keras_hub.models.BertBackbone):
    """`keras_hub.models.BertBackbone` with the exact GELU in its feed-forward layers.

    Google's BERT and keras-hub's compute the tanh form of GELU; `hidden_act="gelu"`
    of a Hugging Face checkpoint is the exact one, `x * Phi(x)`. The outputs of two
    blocks already differ by 1e-4 to 1e-3. Arguments, variables and their paths are
    those of keras-hub's class; only the fingerprint tells the two apart.

    Attributes:
        hidden_activation: `"gelu"`, the exact form.
    """

    hidden_activation = "gelu"

    __init__ = rebind(
        keras_hub.models.BertBackbone.__init__,
        # Keras's default is the exact form.
        gelu_approximate=keras.activations.gelu,
    )


def hidden_activation(backbone: keras_hub.models.Backbone) -> str:
    """Which GELU a BERT computes, with or without adapters.

    Returns:
        `"gelu"` for the exact one, `"gelu_tanh"` for its tanh form.
    """
    return getattr(backbone, "hidden_activation", "gelu_tanh")
