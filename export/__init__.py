"""SavedModels of a base and its tasks, and servables made from them.

The public names below are loaded on first use, as in `adapters_tf`. The process that
checks an export, and clients that need only the protos, can therefore import parts of
this package without Keras.
"""

import importlib
from typing import TYPE_CHECKING, Any

from adapters_tf.backends import require_tensorflow

if TYPE_CHECKING:
    from adapters_tf.export.adapter import export_adapter as export_adapter
    from adapters_tf.export.base import export_base as export_base
    from adapters_tf.export.combine import CombinedLayer as CombinedLayer
    from adapters_tf.export.deployment.write import write_deployment as write_deployment
    from adapters_tf.export.summary import ServableSummary as ServableSummary
    from adapters_tf.export.summary import describe_servable as describe_servable
    from adapters_tf.export.summary import verify_servable as verify_servable
    from adapters_tf.export.versions import add_task as add_task
    from adapters_tf.export.versions import create_servable as create_servable
    from adapters_tf.export.versions import remove_task as remove_task
    from adapters_tf.export.versions import roll_back as roll_back

require_tensorflow("adapters_tf.export")

_MODULES = {
    "adapters_tf.export.adapter": ("export_adapter",),
    "adapters_tf.export.base": ("export_base",),
    "adapters_tf.export.combine": ("CombinedLayer",),
    "adapters_tf.export.deployment.write": ("write_deployment",),
    "adapters_tf.export.summary": (
        "ServableSummary",
        "describe_servable",
        "verify_servable",
    ),
    "adapters_tf.export.versions": (
        "add_task",
        "create_servable",
        "remove_task",
        "roll_back",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'adapters_tf.export' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
