"""A base's fingerprint: it identifies the weights and architecture."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# Settings that change a backbone's output but not its weights' shapes.
_ARCHITECTURE = (
    "num_layers",
    "num_heads",
    "hidden_dim",
    "intermediate_dim",
    "vocabulary_size",
    "max_sequence_length",
    "num_segments",
)


# Hexadecimal digits of a variable's digest: enough to notice a change.
_DIGITS = 16

BERT = "BertBackbone"


def backbone_name(backbone: Any) -> str:
    """Return a backbone's keras-hub class name, with or without adapters."""
    return next(
        cls.__name__
        for cls in type(backbone).__mro__
        if cls.__module__.startswith("keras_hub.")
    )


def base_fingerprint(backbone: Any) -> str:
    """Compute the SHA-256 of a plain backbone's architecture and weights.

    An adapter would load without an error on a base with other weights of the same
    shapes, and give wrong results. So every adapter stores this fingerprint, and
    loading compares it.

    Args:
        backbone: A keras-hub backbone as it was loaded, without adapters.

    Returns:
        `"sha256:"` and 64 hexadecimal digits. The same for every dtype policy
        that keeps float32 variables.
    """
    return _digest(backbone, backbone.weights)


def adapted_fingerprint(backbone: Any, values: dict[str, np.ndarray]) -> str:
    """Compute `base_fingerprint` of the current base inside an adapter backbone.

    Args:
        backbone: An `AdapterBackbone`.
        values: Variable path -> value, to override the current values of variables of
            the base.
    """
    return _digest(backbone, backbone.base_variables(), values)


def variable_digests(variables: Iterable[Any]) -> dict[str, str]:
    """Hash the value of each variable, so that `changed_variables` notices changes.

    The fingerprint cannot: tasks train some of the variables that it covers.

    Args:
        variables: Keras variables.

    Returns:
        Path -> the dtype and the first digits of the SHA-256 of the value's bytes.
    """
    return {v.path: _variable_digest(v, None) for v in variables}


def changed_variables(
    variables: Iterable[Any],
    digests: Mapping[str, str],
    values: Mapping[str, np.ndarray] | None = None,
) -> list[str]:
    """Find the variables that have other values than those that were hashed.

    This reads every value: 0.4 s for BERT-base.

    Args:
        variables: Keras variables. Those without a digest, or with one of another
            dtype, are not compared.
        digests: From `variable_digests`.
        values: Variable path -> value, to compare instead of the current value.

    Returns:
        Their paths.
    """
    changed = []
    for variable in variables:
        known = digests.get(variable.path, "")
        found = _variable_digest(variable, (values or {}).get(variable.path))
        dtype = found.partition(":")[0]
        if known.partition(":")[0] == dtype and known != found:
            changed.append(variable.path)
    return changed


def _variable_digest(variable: Any, value: np.ndarray | None) -> str:
    value = np.ascontiguousarray(variable.numpy() if value is None else value)
    digest = hashlib.sha256(value.view(np.uint8).data).hexdigest()
    return f"{value.dtype}:{digest[:_DIGITS]}"


def prefix_fingerprint(backbone: Any, num_blocks: int) -> str:
    """Compute the SHA-256 of everything that determines the states below a block.

    It covers the current weights, not those that were loaded, so that a cache for one
    base is never used for another.

    Args:
        backbone: An `AdapterBackbone`.
        num_blocks: Number of blocks below; the embeddings are always included.

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
    # Include only a non-default activation: existing files depend on this.
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
