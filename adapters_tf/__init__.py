"""Bottleneck adapters (Houlsby et al. 2019) for Keras 3 and TensorFlow.

The names in `__all__` are the public interface. Each is loaded on first use, so
`import adapters_tf` is cheap, and a program can still set what must be set before
TensorFlow is imported. Keras finds this library's classes in files as soon as both
are imported; see `adapters_tf._registration`.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from adapters_tf._registration import import_all, register_with_keras
from adapters_tf.preset_names import register_preset as register_preset
from adapters_tf.preset_names import resolve_preset as resolve_preset

if TYPE_CHECKING:
    from adapters_tf.adapters.bottleneck import AdapterConfig as AdapterConfig
    from adapters_tf.adapters.bottleneck import BottleneckAdapter as BottleneckAdapter
    from adapters_tf.data.files import FileFormat as FileFormat
    from adapters_tf.errors import AdapterFileError as AdapterFileError
    from adapters_tf.errors import DataError as DataError
    from adapters_tf.errors import UserError as UserError
    from adapters_tf.export.adapter import export_adapter as export_adapter
    from adapters_tf.export.base import export_base as export_base
    from adapters_tf.export.versions import create_servable as create_servable
    from adapters_tf.models.adapter import Adapter as Adapter
    from adapters_tf.models.adapter_backbone import AdapterBackbone as AdapterBackbone
    from adapters_tf.models.adapter_file import load_adapter as load_adapter
    from adapters_tf.models.adapter_file import save_adapter as save_adapter
    from adapters_tf.models.adapter_model import AdapterModel as AdapterModel
    from adapters_tf.models.backbones import BertAdapterBackbone as BertAdapterBackbone
    from adapters_tf.models.block import (
        AdapterTransformerEncoder as AdapterTransformerEncoder,
    )
    from adapters_tf.models.optimizer import LinearWarmupDecay as LinearWarmupDecay
    from adapters_tf.models.optimizer import create_optimizer as create_optimizer
    from adapters_tf.models.presets import load_backbone as load_backbone
    from adapters_tf.models.presets import load_preprocessor as load_preprocessor
    from adapters_tf.models.task import Task as Task
    from adapters_tf.models.trainable_set import Tuning as Tuning
    from adapters_tf.models.trainable_set import count_parameters as count_parameters
    from adapters_tf.models.trainable_set import trainable_set as trainable_set
    from adapters_tf.tasks.build import build_model as build_model
    from adapters_tf.tasks.build import load_model as load_model
    from adapters_tf.tasks.classification import (
        AdapterTextClassifier as AdapterTextClassifier,
    )
    from adapters_tf.tasks.multi_label import (
        AdapterMultiLabelClassifier as AdapterMultiLabelClassifier,
    )
    from adapters_tf.tasks.question_answering import (
        AdapterQuestionAnswerer as AdapterQuestionAnswerer,
    )
    from adapters_tf.tasks.regression import (
        AdapterTextRegressor as AdapterTextRegressor,
    )
    from adapters_tf.tasks.source import TaskSource as TaskSource
    from adapters_tf.tasks.token_classification import (
        AdapterTokenClassifier as AdapterTokenClassifier,
    )

__version__ = "0.1.0"

# Module -> its public names.
_MODULES: dict[str, tuple[str, ...]] = {
    "adapters_tf.errors": (
        "AdapterFileError",
        "DataError",
        "UserError",
    ),
    "adapters_tf.adapters.bottleneck": (
        "AdapterConfig",
        "BottleneckAdapter",
    ),
    "adapters_tf.models.adapter": ("Adapter",),
    "adapters_tf.models.adapter_backbone": ("AdapterBackbone",),
    "adapters_tf.models.adapter_file": (
        "load_adapter",
        "save_adapter",
    ),
    "adapters_tf.models.adapter_model": ("AdapterModel",),
    "adapters_tf.models.backbones": ("BertAdapterBackbone",),
    "adapters_tf.models.block": ("AdapterTransformerEncoder",),
    "adapters_tf.models.optimizer": (
        "LinearWarmupDecay",
        "create_optimizer",
    ),
    "adapters_tf.models.presets": (
        "load_backbone",
        "load_preprocessor",
    ),
    "adapters_tf.models.task": ("Task",),
    "adapters_tf.models.trainable_set": (
        "Tuning",
        "count_parameters",
        "trainable_set",
    ),
    "adapters_tf.data.files": ("FileFormat",),
    "adapters_tf.tasks.build": (
        "build_model",
        "load_model",
    ),
    "adapters_tf.tasks.classification": ("AdapterTextClassifier",),
    "adapters_tf.tasks.multi_label": ("AdapterMultiLabelClassifier",),
    "adapters_tf.tasks.question_answering": ("AdapterQuestionAnswerer",),
    "adapters_tf.tasks.regression": ("AdapterTextRegressor",),
    "adapters_tf.tasks.source": ("TaskSource",),
    "adapters_tf.tasks.token_classification": ("AdapterTokenClassifier",),
    "adapters_tf.export.adapter": ("export_adapter",),
    "adapters_tf.export.base": ("export_base",),
    "adapters_tf.export.versions": ("create_servable",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
# What a `.keras` file or a preset can name is defined or imported in these.
_KERAS_MODULES = (
    "adapters_tf.adapters.bottleneck",
    "adapters_tf.models.block",
    "adapters_tf.models.backbones",
    "adapters_tf.models.optimizer",
    "adapters_tf.models.presets",
    "adapters_tf.tasks.kinds",
)

__all__ = [
    "Adapter",
    "AdapterBackbone",
    "AdapterConfig",
    "AdapterFileError",
    "AdapterModel",
    "AdapterMultiLabelClassifier",
    "AdapterQuestionAnswerer",
    "AdapterTextClassifier",
    "AdapterTextRegressor",
    "AdapterTokenClassifier",
    "AdapterTransformerEncoder",
    "BertAdapterBackbone",
    "BottleneckAdapter",
    "DataError",
    "FileFormat",
    "LinearWarmupDecay",
    "Task",
    "TaskSource",
    "Tuning",
    "UserError",
    "build_model",
    "count_parameters",
    "create_optimizer",
    "create_servable",
    "export_adapter",
    "export_base",
    "load_adapter",
    "load_backbone",
    "load_model",
    "load_preprocessor",
    "register_preset",
    "resolve_preset",
    "save_adapter",
    "trainable_set",
]


def _demo_directory() -> str:
    from adapters_tf.data.demo import demo_encoder_dir

    return str(demo_encoder_dir())


register_preset("demo", _demo_directory)
register_with_keras(_KERAS_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'adapters_tf' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    if "keras" in sys.modules:
        import_all(_KERAS_MODULES)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
