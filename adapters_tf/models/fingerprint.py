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
    config = backbone.get_config()
    digest = hashlib.sha256()
    architecture = {k: config[k] for k in _ARCHITECTURE if k in config}
    digest.update(json.dumps(architecture, sort_keys=True).encode())
    for variable in sorted(backbone.weights, key=lambda v: v.path):
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{variable.path}|{value.dtype}|{value.shape}".encode())
        digest.update(value.view(np.uint8).data)
    return f"sha256:{digest.hexdigest()}"
