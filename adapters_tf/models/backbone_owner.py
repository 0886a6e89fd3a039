"""Which live model a backbone belongs to: one at a time."""

import gc
import weakref
from typing import Any

import keras

from adapters_tf.errors import UserError
from adapters_tf.models.adapter_backbone import AdapterBackbone

# Each backbone in use and the model that trains it.
_owners: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()


def check_backbone(backbone: Any) -> None:
    """Refuse what is no backbone with adapters, or is in use by another model.

    Args:
        backbone: What the constructor of a task model is given.

    Raises:
        UserError: saying how to get a backbone.
    """
    if not isinstance(backbone, AdapterBackbone):
        name = type(backbone).__name__
        advice = "load_backbone loads one, and from_preset of the task model loads both"
        if isinstance(backbone, keras.Model):
            advice = (
                "from_backbone of its class with adapters makes one of it, as in "
                "adapters_tf.BertAdapterBackbone.from_backbone(backbone, "
                "adapters_tf.AdapterConfig())"
            )
        raise UserError(
            f"A task model is made on a backbone with adapters. Received: a {name}. "
            f"In adapters_tf, {advice}"
        )
    if _owner(backbone) is not None:
        gc.collect()  # Models are in cycles: one that is given up may still be there.
    if _owner(backbone) is not None:
        raise UserError(
            "A backbone belongs to one live model, as training another one on it would "
            "change the first one's outputs. Received: the backbone of the live model "
            f"{_owner(backbone).name!r}. Add a task to that one with its add_adapter, "
            "delete it, or load the backbone again"
        )


def _owner(backbone: Any) -> Any:
    reference = _owners.get(backbone)
    return None if reference is None else reference()


def take_backbone(backbone: AdapterBackbone, model: Any) -> None:
    """Note that the backbone belongs to this model from here on.

    Args:
        backbone: The backbone.
        model: A task model on it, or `None`: nobody's.
    """
    if model is None:
        _owners.pop(backbone, None)
    else:
        _owners[backbone] = weakref.ref(model)
