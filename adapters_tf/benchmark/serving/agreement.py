"""Whether the ways to ask a servable give the same answers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.benchmark.serving.build import Built
from adapters_tf.benchmark.serving.requests import (
    mixed_inputs,
    spread,
    text_inputs,
    token_inputs,
)
from adapters_tf.export.servable import MIXED
from adapters_tf.export.session import ServingSession

Outputs = dict[str, np.ndarray]
_BATCH = 50
_FLOATS = ("probabilities", "score")


def measure_agreement(
    built: Built,
    preprocessor: Any,
    texts: Sequence[str],
    seq_length: int,
    mixed_tasks: int,
) -> dict[str, Any]:
    """Compare `mixed_text` with three others on the same texts.

    Args:
        built: The servable.
        preprocessor: The loaded preprocessor SavedModel.
        texts: The texts; each belongs to one task.
        seq_length: Longest row in tokens.
        mixed_tasks: How many tasks the texts belong to, in turns.

    Returns:
        `texts` and `tasks`, how many there were; and under `differences`, for
        `tf.saved_model.load`, for the tasks' own signatures on texts and for those
        on tokens: `max_abs`, the largest difference of a probability or score, and
        `others`, the number of rows with another status, label or labels.
    """
    chosen = [built.names[i] for i in spread(len(built.names), mixed_tasks)]
    names = [chosen[i % len(chosen)] for i in range(len(texts))]
    reloaded = tf.saved_model.load(str(built.version))
    with ServingSession(built.version) as session:
        mixed = _run_mixed(lambda x: session.run(MIXED, x), texts, names)
        again = _run_mixed(lambda x: _call(reloaded, x), texts, names)
        differences = {"tf.saved_model.load": _difference(mixed, again)}
        of_texts, of_tokens = [], []
        for name in chosen:
            rows = [i for i, own in enumerate(names) if own == name]
            own = {key: value[rows] for key, value in mixed.items()}
            own_texts = [texts[i] for i in rows]
            outputs = session.run(f"{name}_text", text_inputs(own_texts))
            of_texts.append(_difference(own, outputs))
            tokens = token_inputs(preprocessor, own_texts, seq_length)
            of_tokens.append(_difference(own, session.run(name, tokens)))
    differences["signatures on texts"] = _worst(of_texts)
    differences["signatures on tokens"] = _worst(of_tokens)
    return {"texts": len(texts), "tasks": len(chosen), "differences": differences}


def _run_mixed(
    run: Callable[[dict[str, np.ndarray]], Outputs],
    texts: Sequence[str],
    names: Sequence[str],
) -> Outputs:
    batches = [
        run(mixed_inputs(texts[i : i + _BATCH], names[i : i + _BATCH]))
        for i in range(0, len(texts), _BATCH)
    ]
    return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


def _call(reloaded: Any, inputs: dict[str, np.ndarray]) -> Outputs:
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    outputs = reloaded.signatures[MIXED](**tensors)
    return {name: value.numpy() for name, value in outputs.items()}


def _difference(mixed: Outputs, other: Outputs) -> dict[str, float | int]:
    """Compare those outputs that `other` has; a task's own have no padding."""
    largest, rows = 0.0, np.zeros(len(mixed["status"]), bool)
    for name, values in other.items():
        expected = mixed[name]
        if expected.ndim == 2:
            padding = expected[:, values.shape[1] :]
            # The classes that the task does not have.
            rows |= np.any(padding != (0 if name in _FLOATS else b""), axis=1)
            expected = expected[:, : values.shape[1]]
        if name in _FLOATS:
            largest = max(largest, float(np.max(np.abs(expected - values))))
        else:
            differs = expected != values
            rows |= differs.any(axis=1) if differs.ndim == 2 else differs
    rows |= mixed["status"] != b"ok"
    return {"max_abs": largest, "others": int(rows.sum())}


def _worst(found: Sequence[dict[str, float | int]]) -> dict[str, float | int]:
    return {
        "max_abs": max(item["max_abs"] for item in found),
        "others": sum(item["others"] for item in found),
    }
