"""Track which live model uses a backbone: only one at a time."""

import gc
import weakref
from typing import Any

import keras

from adapters_tf.errors import UserError
from adapters_tf.models.adapter_backbone import AdapterBackbone

# Backbone in use -> the model that trains it.
_owners: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()


def check_backbone(backbone: Any) -> None:
    """Reject an object that is not an adapter backbone, or that a model uses.

    Args:
        backbone: The argument of a task model's constructor.

    Raises:
        UserError: if the backbone is unusable; the text says how to get another.
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
        gc.collect()  # Models form cycles: an unused one may not be freed yet.
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
    """Record that this model now uses the backbone.

    Args:
        backbone: The backbone.
        model: A task model on the backbone, or `None` to release it.
    """
    if model is None:
        _owners.pop(backbone, None)
    else:
        _owners[backbone] = weakref.ref(model)
