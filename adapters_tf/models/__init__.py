"""Backbones with adapters, the base of task models, and the adapter file."""

from adapters_tf.models.adapter import Adapter as Adapter
from adapters_tf.models.adapter_backbone import AdapterBackbone as AdapterBackbone
from adapters_tf.models.adapter_backbone import (
    BertAdapterBackbone as BertAdapterBackbone,
)
from adapters_tf.models.adapter_file import load_adapter as load_adapter
from adapters_tf.models.adapter_file import save_adapter as save_adapter
from adapters_tf.models.adapter_model import AdapterModel as AdapterModel
from adapters_tf.models.optimizer import LinearWarmupDecay as LinearWarmupDecay
from adapters_tf.models.optimizer import create_optimizer as create_optimizer
from adapters_tf.models.parameter_table import count_parameters as count_parameters
from adapters_tf.models.presets import load_backbone as load_backbone
from adapters_tf.models.presets import load_preprocessor as load_preprocessor
from adapters_tf.models.trainable_set import Tuning as Tuning
from adapters_tf.models.trainable_set import trainable_set as trainable_set
