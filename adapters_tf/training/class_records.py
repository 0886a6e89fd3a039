"""What is said of a text: its class, or the labels that it has."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def class_record(labels: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
    """A JSON-like record of one row with one of several classes.

    Args:
        labels: The C classes by index.
        probabilities: `[C]`.

    Returns:
        `label`, the most probable one; `score`, its probability; `probabilities` by
        class.
    """
    best = int(np.argmax(probabilities))
    return {
        "label": labels[best],
        "score": float(probabilities[best]),
        "probabilities": dict(zip(labels, probabilities.tolist(), strict=True)),
    }


def label_set_record(
    labels: Sequence[str], probabilities: np.ndarray
) -> dict[str, Any]:
    """A JSON-like record of one row with any number of labels.

    Args:
        labels: The C labels by index.
        probabilities: `[C]`, each by itself.

    Returns:
        `labels`, those of a probability of 0.5 or more, and `probabilities` by label.
    """
    by_label = dict(zip(labels, probabilities.tolist(), strict=True))
    return {
        "labels": [name for name, p in by_label.items() if p >= 0.5],
        "probabilities": by_label,
    }
