"""Initialise a task's variables as a function of the seed."""

import hashlib
from typing import Any

import keras


def initialize_task_variables(model: Any, seed: int) -> None:
    """Re-initialise adapters and head.

    Each variable is drawn by its layer's own initialiser from (seed, path). Its values
    do not depend on what was built before or on other adapters, so you can retrain a
    live model from the start.

    Args:
        model: An `AdapterModel`.
        seed: The run's seed.
    """
    for layer in model.task_layers():
        for leaf in _leaves(layer):
            for variable in leaf.weights:
                initializer = getattr(leaf, f"{variable.name}_initializer")
                config = initializer.get_config()
                if "seed" in config:
                    config["seed"] = _derived_seed(seed, variable.path)
                    initializer = type(initializer).from_config(config)
                variable.assign(initializer(variable.shape, dtype=variable.dtype))


def _leaves(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the inner layers that own variables directly."""
    return [
        sublayer
        for sublayer in layer._flatten_layers()
        if sublayer.weights and not list(sublayer._flatten_layers(include_self=False))
    ]


def _derived_seed(seed: int, path: str) -> int:
    digest = hashlib.sha256(f"{seed} {path}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
