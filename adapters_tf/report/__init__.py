"""The report of a study: what a person would send to a colleague.

The public names below are loaded on first use, as those of `adapters_tf`: a program
that only lists its flags needs no figures.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters_tf.report.ablation import Ablation as Ablation
    from adapters_tf.report.ablation import read_ablations as read_ablations
    from adapters_tf.report.write import write_report as write_report

_MODULES = {
    "adapters_tf.report.ablation": ("Ablation", "read_ablations"),
    "adapters_tf.report.write": ("write_report",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'adapters_tf.report' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
