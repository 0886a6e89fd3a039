"""General Keras layers, and tools to build other libraries' models with them."""

from adapters_tf.layers.dropout import Dropout as Dropout
from adapters_tf.layers.dropout import dropout_scope as dropout_scope
