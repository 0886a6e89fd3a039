"""Bottleneck adapters (Houlsby et al. 2019) for Keras 3 and TensorFlow.

The public names below are loaded on first use, so that `import adapters_tf`
costs nothing and a program can still set what must be set before TensorFlow is
imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters_tf.adapters import AdapterConfig as AdapterConfig
    from adapters_tf.adapters import BottleneckAdapter as BottleneckAdapter
    from adapters_tf.errors import AdapterFileError as AdapterFileError
    from adapters_tf.errors import DataError as DataError
    from adapters_tf.errors import UserError as UserError
    from adapters_tf.models import Adapter as Adapter
    from adapters_tf.models import AdapterBackbone as AdapterBackbone
    from adapters_tf.models import BertAdapterBackbone as BertAdapterBackbone
    from adapters_tf.models import LinearWarmupDecay as LinearWarmupDecay
    from adapters_tf.models import Tuning as Tuning
    from adapters_tf.models import count_parameters as count_parameters
    from adapters_tf.models import create_optimizer as create_optimizer
    from adapters_tf.models import load_adapter as load_adapter
    from adapters_tf.models import load_backbone as load_backbone
    from adapters_tf.models import load_preprocessor as load_preprocessor
    from adapters_tf.models import save_adapter as save_adapter
    from adapters_tf.models import trainable_set as trainable_set
    from adapters_tf.models.block import (
        AdapterTransformerEncoder as AdapterTransformerEncoder,
    )
    from adapters_tf.tasks import (
        AdapterMultiLabelClassifier as AdapterMultiLabelClassifier,
    )
    from adapters_tf.tasks import AdapterQuestionAnswerer as AdapterQuestionAnswerer
    from adapters_tf.tasks import AdapterTextClassifier as AdapterTextClassifier
    from adapters_tf.tasks import AdapterTextRegressor as AdapterTextRegressor
    from adapters_tf.tasks import AdapterTokenClassifier as AdapterTokenClassifier
    from adapters_tf.tasks import build_model as build_model
    from adapters_tf.tasks import load_model as load_model

__version__ = "0.1.0"

_MODULES = {
    "adapters_tf.errors": ("AdapterFileError", "DataError", "UserError"),
    "adapters_tf.adapters": ("AdapterConfig", "BottleneckAdapter"),
    "adapters_tf.models.block": ("AdapterTransformerEncoder",),
    "adapters_tf.models": (
        "Adapter",
        "AdapterBackbone",
        "BertAdapterBackbone",
        "LinearWarmupDecay",
        "Tuning",
        "count_parameters",
        "create_optimizer",
        "load_adapter",
        "load_backbone",
        "load_preprocessor",
        "save_adapter",
        "trainable_set",
    ),
    "adapters_tf.tasks": (
        "AdapterMultiLabelClassifier",
        "AdapterQuestionAnswerer",
        "AdapterTextClassifier",
        "AdapterTextRegressor",
        "AdapterTokenClassifier",
        "build_model",
        "load_model",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'adapters_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
