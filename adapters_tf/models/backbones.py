"""The keras-hub encoders that carry adapters.

Each class extends keras-hub's own through `AdapterBackbone`, without reimplementing the
model. You can add a class here if its constructor makes its blocks with
`keras_hub.layers.TransformerEncoder` and calls nothing between two blocks.
"""

from typing import Any

import keras
import keras_hub

from adapters_tf.errors import UserError
from adapters_tf.layers.rebind import rebind
from adapters_tf.models.adapter_backbone import AdapterBackbone


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


@keras.saving.register_keras_serializable(package="adapters_tf")
class BertAdapterBackbone(AdapterBackbone, keras_hub.models.BertBackbone):
    """`keras_hub.models.BertBackbone` with adapters; see `AdapterBackbone`."""


@keras.saving.register_keras_serializable(package="adapters_tf")
class ExactGeluBertAdapterBackbone(AdapterBackbone, ExactGeluBertBackbone):
    """`ExactGeluBertBackbone` with adapters; see `AdapterBackbone`."""


@keras.saving.register_keras_serializable(package="adapters_tf")
class RobertaAdapterBackbone(AdapterBackbone, keras_hub.models.RobertaBackbone):
    """`keras_hub.models.RobertaBackbone` with adapters; see `AdapterBackbone`."""


@keras.saving.register_keras_serializable(package="adapters_tf")
class XLMRobertaAdapterBackbone(AdapterBackbone, keras_hub.models.XLMRobertaBackbone):
    """`keras_hub.models.XLMRobertaBackbone` with adapters; see `AdapterBackbone`."""


@keras.saving.register_keras_serializable(package="adapters_tf")
class DistilBertAdapterBackbone(AdapterBackbone, keras_hub.models.DistilBertBackbone):
    """`keras_hub.models.DistilBertBackbone` with adapters; see `AdapterBackbone`."""


@keras.saving.register_keras_serializable(package="adapters_tf")
class ElectraAdapterBackbone(AdapterBackbone, keras_hub.models.ElectraBackbone):
    """`keras_hub.models.ElectraBackbone` with adapters; see `AdapterBackbone`."""


@keras.saving.register_keras_serializable(package="adapters_tf")
class AlbertAdapterBackbone(AdapterBackbone, keras_hub.models.AlbertBackbone):
    """`keras_hub.models.AlbertBackbone` with adapters; see `AdapterBackbone`.

    All layers of ALBERT share one block's weights, so they also share its adapters and
    LayerNorms, as in AdapterHub's library. The model has
    `num_groups * num_inner_repetitions` blocks; every published ALBERT has one.
    """


# Plain keras-hub class -> the class with adapters.
BACKBONES: dict[type, type[AdapterBackbone]] = {
    cls.plain_class(): cls
    for cls in (
        BertAdapterBackbone,
        RobertaAdapterBackbone,
        XLMRobertaAdapterBackbone,
        DistilBertAdapterBackbone,
        ElectraAdapterBackbone,
        AlbertAdapterBackbone,
    )
} | {ExactGeluBertBackbone: ExactGeluBertAdapterBackbone}


@keras.saving.register_keras_serializable(package="adapters_tf")
class ElectraTextClassifierPreprocessor(keras_hub.models.TextClassifierPreprocessor):
    """`[CLS] text [SEP]` or `[CLS] text [SEP] text [SEP]` for ELECTRA.

    keras-hub provides such a class for every other encoder here. Its loaders find this
    one by its `backbone_cls`. Arguments are those of its base class.
    """

    backbone_cls = keras_hub.models.ElectraBackbone
    tokenizer_cls = keras_hub.tokenizers.ElectraTokenizer


# transformers' names for the tanh form of GELU, and for the exact form. The name `gelu`
# means a different form in each library.
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_tanh")
_EXACT_GELU = ("gelu", "gelu_python")

# transformers' model type -> LayerNorm epsilon in keras-hub's class. DistilBERT is
# absent: both libraries fix the same value.
LAYER_NORM_EPS = {
    "albert": 1e-12,
    "bert": 1e-12,
    "electra": 1e-12,
    "roberta": 1e-5,
    "xlm-roberta": 1e-5,
}
# transformers' defaults for absent fields.
_DEFAULTS = {"layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}


def check_hugging_face_config(config: dict[str, Any], preset: str) -> None:
    """Reject a model that keras-hub would load with a different computation.

    Args:
        config: The content of the model's `config.json`.
        preset: Where the model is from.

    Raises:
        UserError: if its activation is not a form of GELU, its positions are relative,
            or its LayerNorm epsilon differs from keras-hub's.
    """
    # DistilBERT calls this field "activation".
    activation = config.get("hidden_act", config.get("activation"))
    if activation is not None and activation not in TANH_GELU + _EXACT_GELU:
        raise UserError(
            "hidden_act must be a form of GELU, which is all that the bases compute "
            f"here: one of {', '.join(_EXACT_GELU + TANH_GELU)}. Received: "
            f"hidden_act={activation!r} in {preset!r}"
        )
    model_type = config.get("model_type")
    if model_type not in LAYER_NORM_EPS:
        return
    expected = {**_DEFAULTS, "layer_norm_eps": LAYER_NORM_EPS[model_type]}
    for name, value in expected.items():
        received = config.get(name, _DEFAULTS[name])
        if received != value:
            absent = "" if name in config else ", transformers' default,"
            raise UserError(
                f"The base's {name} must be {value!r}, which keras-hub's {model_type} "
                f"has built in. Received: {name}={received!r}{absent} in {preset!r}"
            )
