"""The keras-hub encoders that carry adapters.

Each class extends keras-hub's own through `AdapterBackbone`, without reimplementing the
model. You can add a class here if its constructor makes its blocks with
`keras_hub.layers.TransformerEncoder` and calls nothing between two blocks.
"""

import keras
import keras_hub

from adapters_tf.models.adapter_backbone import (
    AdapterBackbone,
    BertAdapterBackbone,
    ExactGeluBertAdapterBackbone,
)
from adapters_tf.models.exact_gelu_bert import ExactGeluBertBackbone


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
