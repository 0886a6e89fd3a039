"""BERT with the exact GELU of Hugging Face's checkpoints."""

import keras
import keras_hub

from adapters_tf.layers.rebind import rebind


@keras.saving.register_keras_serializable(package="adapters_tf")
class ExactGeluBertBackbone(keras_hub.models.BertBackbone):
    """`keras_hub.models.BertBackbone` with the exact GELU in its feed-forward layers.

    Google's and keras-hub's BERT compute GELU's tanh approximation; `hidden_act="gelu"`
    in a Hugging Face checkpoint means the exact form, `x * Phi(x)`. After only two
    blocks, the outputs differ by 1e-4 to 1e-3. Arguments, variables and paths are those
    of keras-hub's class; only the fingerprint differs.

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
    """Return which GELU a BERT computes, with or without adapters.

    Returns:
        `"gelu"` for the exact form, `"gelu_tanh"` for the tanh approximation.
    """
    return getattr(backbone, "hidden_activation", "gelu_tanh")
