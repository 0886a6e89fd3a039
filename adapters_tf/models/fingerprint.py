"""A base's fingerprint: which weights and architecture an adapter was made for."""

import hashlib
import json
from typing import Any

import numpy as np

# What changes a backbone's output and does not show in its weights' shapes.
_ARCHITECTURE = (
    "num_layers",
    "num_heads",
    "hidden_dim",
    "intermediate_dim",
    "vocabulary_size",
    "max_sequence_length",
    "num_segments",
)


BERT = "BertBackbone"


def backbone_name(backbone: Any) -> str:
    """The name of the keras-hub class of a backbone, with or without adapters."""
    return next(
        cls.__name__
        for cls in type(backbone).__mro__
        if cls.__module__.startswith("keras_hub.")
    )


def base_fingerprint(backbone: Any) -> str:
    """SHA-256 over a plain backbone's architecture and all its weights.

    Two backbones of equal shape but different weights combine without an
    error, and silently wrongly; so every adapter carries this and loading
    compares it.

    Args:
        backbone: A keras-hub backbone as it was loaded, without adapters.

    Returns:
        `"sha256:"` and 64 hexadecimal digits. The same for every dtype policy
        that keeps float32 variables.
    """
    return _digest(backbone, backbone.weights)


def adapted_fingerprint(backbone: Any, values: dict[str, np.ndarray]) -> str:
    """`base_fingerprint` of the base inside a backbone with adapters, as it is now.

    Args:
        backbone: An `AdapterBackbone`.
        values: Variable path -> value, for variables of the base that count with
            another value than their own.
    """
    return _digest(backbone, backbone.base_variables(), values)


def prefix_fingerprint(backbone: Any, num_blocks: int) -> str:
    """SHA-256 over all that the hidden states under a block follow from.

    Of the weights as they are now, and not as they were loaded, so that what was
    kept for a base is never taken for another's.

    Args:
        backbone: An `AdapterBackbone`.
        num_blocks: Number of blocks below; the embeddings are always part of it.

    Returns:
        As `base_fingerprint`.
    """
    pooler = getattr(backbone, "pooled_dense", None)
    above = [*backbone.encoder_blocks[num_blocks:], pooler]
    ids = {id(v) for layer in above if layer for v in layer.weights}
    return _digest(backbone, [v for v in backbone.weights if id(v) not in ids])


def _digest(
    backbone: Any, variables: Any, values: dict[str, np.ndarray] | None = None
) -> str:
    config = backbone.get_config()
    digest = hashlib.sha256()
    architecture = {k: config[k] for k in _ARCHITECTURE if k in config}
    # Only where it is not that of keras-hub's class, which other files rely on.
    activation = getattr(backbone, "hidden_activation", None)
    if activation is not None:
        architecture["hidden_activation"] = activation
    name = backbone_name(backbone)
    if name != BERT:
        architecture["backbone"] = name
    digest.update(json.dumps(architecture, sort_keys=True).encode())
    for variable in sorted(variables, key=lambda v: v.path):
        value = values.get(variable.path) if values else None
        value = np.ascontiguousarray(variable.numpy() if value is None else value)
        digest.update(f"{variable.path}|{value.dtype}|{value.shape}".encode())
        digest.update(value.view(np.uint8).data)
    return f"sha256:{digest.hexdigest()}"
