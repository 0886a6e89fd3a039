"""A batch of rows of many tasks, against the plain base and one task at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from adapters_tf.benchmark.serving.build import Built
from adapters_tf.benchmark.serving.requests import (
    mixed_inputs,
    spread,
    take_rows,
    text_inputs,
    token_inputs,
)
from adapters_tf.benchmark.serving.token_paths import ONE, PLAIN, PLAIN_TEXT, ROWS
from adapters_tf.benchmark.timing import Timing, interleave
from adapters_tf.export.servable import MIXED
from adapters_tf.export.session import ServingSession

# What is compared, and by what it is divided.
RATIOS = {
    "mixed / plain base": ("mixed", "plain"),
    "mixed / single task": ("mixed", "single"),
    "one after another / mixed": ("one after another", "mixed"),
}


def measure_speed(
    built: Built,
    preprocessor: Any,
    texts: Sequence[str],
    seq_length: int,
    mixed_tasks: int,
    repeats: int,
) -> dict[str, Any]:
    """Time one batch, a text a row, in sessions as TensorFlow Serving runs them.

    On tokens (`save_token_paths`; only the pooled vector is returned) and end to end
    on texts (the servable's own signatures), each of

        plain              the base without a task, all rows
        single             all rows with one task
        mixed              each row with its own task
        one after another  as many calls as tasks, each with the rows of one

    Args:
        built: The servable.
        preprocessor: The loaded preprocessor SavedModel.
        texts: One for each row of the batch.
        seq_length: Longest row in tokens.
        mixed_tasks: How many tasks the rows belong to, in turns.
        repeats: Rounds.

    Returns:
        `rows`, `tasks`, `mean_tokens` and `padded_length` of the batch; and for
        `"tokens"` and `"text"` the `times` of each of the above and their `ratios`.
    """
    rows = len(texts)
    chosen = spread(len(built.names), min(mixed_tasks, rows))
    tokens = token_inputs(preprocessor, texts, seq_length)
    lengths = tokens["input_mask"].sum(axis=1)
    with (
        ServingSession(built.version) as servable,
        ServingSession(built.token_paths) as paths,
    ):
        calls = {
            "tokens": _token_calls(paths, tokens, chosen),
            "text": _text_calls(servable, paths, texts, built, chosen),
        }
        timings = interleave(
            {
                f"{path}/{name}": call
                for path, its in calls.items()
                for name, call in its.items()
            },
            repeats,
        )
    return {
        "rows": rows,
        "tasks": len(chosen),
        "mean_tokens": float(lengths.mean()),
        "padded_length": int(lengths.max()),
        **{path: _compare(path, timings) for path in calls},
    }


def _token_calls(
    paths: ServingSession, tokens: dict[str, np.ndarray], chosen: list[int]
) -> dict[str, Callable[[], object]]:
    rows = len(tokens["input_mask"])
    tasks = np.array([chosen[i % len(chosen)] for i in range(rows)], np.int32)
    turns = [list(range(turn, rows, len(chosen))) for turn in range(len(chosen))]
    parts = [
        {**take_rows(tokens, own), "task": np.full(len(own), task, np.int32)}
        for own, task in zip(turns, chosen, strict=True)
    ]
    first = np.full(rows, chosen[0], np.int32)
    return {
        "plain": lambda: paths.run(PLAIN, tokens),
        "single": lambda: paths.run(ONE, {**tokens, "task": first}),
        "mixed": lambda: paths.run(ROWS, {**tokens, "tasks": tasks}),
        "one after another": lambda: [paths.run(ONE, part) for part in parts],
    }


def _text_calls(
    servable: ServingSession,
    paths: ServingSession,
    texts: Sequence[str],
    built: Built,
    chosen: list[int],
) -> dict[str, Callable[[], object]]:
    names = [built.names[index] for index in chosen]
    every = text_inputs(texts)
    turns = [names[i % len(names)] for i in range(len(texts))]
    mixed = mixed_inputs(texts, turns)
    parts = [
        (f"{name}_text", text_inputs(texts[turn :: len(names)]))
        for turn, name in enumerate(names)
    ]
    return {
        "plain": lambda: paths.run(PLAIN_TEXT, every),
        "single": lambda: servable.run(f"{names[0]}_text", every),
        "mixed": lambda: servable.run(MIXED, mixed),
        "one after another": lambda: [servable.run(*part) for part in parts],
    }


def _compare(path: str, timings: dict[str, Timing]) -> dict[str, Any]:
    own = {
        name.removeprefix(f"{path}/"): timing
        for name, timing in timings.items()
        if name.startswith(f"{path}/")
    }
    return {
        "times": {name: timing.to_dict() for name, timing in own.items()},
        "ratios": {
            name: own[above].ratio(own[below])
            for name, (above, below) in RATIOS.items()
        },
    }
