"""Times of prediction by length, rows and bottleneck."""

from collections.abc import Callable, Sequence

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.benchmark.timing import interleave
from adapters_tf.models.features import Features
from adapters_tf.tasks.build import build_model
from adapters_tf.training.predict import Predictor

# What stays while one of the three is changed.
ROWS, TOKENS = 8, 128


def time_encoder(
    preset: str,
    lengths: Sequence[int],
    rows: Sequence[int],
    bottlenecks: Sequence[int],
    bottleneck_dim: int,
    repeats: int,
) -> dict[str, list[float]]:
    """Median seconds of one batch, the calls of each axis taking turns.

    Args:
        preset: The base; see `load_backbone`.
        lengths: Tokens of a row, with `ROWS` rows.
        rows: Rows of a batch, of `TOKENS` tokens or as many as the longest of
            `lengths`, if that is less.
        bottlenecks: Units of the adapters, with such a batch of `ROWS` rows.
        bottleneck_dim: Units in the first two.
        repeats: Rounds.

    Returns:
        `seq_length`, `rows` and `bottleneck_dim` -> seconds in the given order.
    """
    longest = max(lengths)
    tokens = min(TOKENS, longest)
    models = {m: _model(preset, m, longest) for m in {bottleneck_dim, *bottlenecks}}
    usual = models[bottleneck_dim]
    axes = {
        "seq_length": {n: _call(usual, ROWS, n) for n in lengths},
        "rows": {n: _call(usual, n, tokens) for n in rows},
        "bottleneck_dim": {n: _call(models[n], ROWS, tokens) for n in bottlenecks},
    }
    found = {}
    for axis, calls in axes.items():
        timings = interleave({str(n): call for n, call in calls.items()}, repeats)
        found[axis] = [timings[str(n)].to_dict()["wall_seconds"] for n in calls]
    return found


def _model(preset: str, bottleneck_dim: int, seq_length: int) -> Predictor:
    model = build_model(
        "classification",
        preset,
        AdapterConfig(bottleneck_dim=bottleneck_dim),
        seq_length=seq_length,
        head={"num_classes": 2},
        dtype="float32",
    )
    return Predictor(model, batch_size=10**6)


def _call(predict: Predictor, rows: int, tokens: int) -> Callable[[], object]:
    # Of the first words of any vocabulary; what they are makes no difference.
    ids = np.random.default_rng(0).integers(5, 20, rows * tokens).astype(np.int32)
    features = Features(ids, np.zeros_like(ids), np.arange(rows + 1) * tokens)
    return lambda: predict(features)
