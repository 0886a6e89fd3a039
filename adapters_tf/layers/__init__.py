"""Keras layers: the adapter, and the encoder block that carries two of them."""

from adapters_tf.layers.adapter_config import AdapterConfig as AdapterConfig
from adapters_tf.layers.adapter_transformer_encoder import (
    AdapterTransformerEncoder as AdapterTransformerEncoder,
)
from adapters_tf.layers.bottleneck_adapter import (
    BottleneckAdapter as BottleneckAdapter,
)
from adapters_tf.layers.dropout import Dropout as Dropout
from adapters_tf.layers.dropout import dropout_scope as dropout_scope
