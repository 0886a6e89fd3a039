"""Speed of batches of many tasks, and whether all ways to ask agree."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.servable import MIXED
from adapters_tf.export.session import ServingSession
from benchmarks.serving_build import ONE, PLAIN, PLAIN_TEXT, ROWS, Built
from benchmarks.serving_load import Inputs
from benchmarks.timing import Timing, interleave


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` indices below `count`, evenly spread, 0 among them."""
    wanted = min(count, wanted)
    return [i * count // wanted for i in range(wanted)]


def text_array(texts: Sequence[str]) -> np.ndarray:
    """`[B]` texts as UTF-8 in an array of objects, as sessions take them."""
    return np.array([text.encode() for text in texts], object)


def text_inputs(texts: Sequence[str]) -> Inputs:
    """The inputs of a task's signature on one text column."""
    return {"text": text_array(texts)}


def mixed_inputs(texts: Sequence[str], names: Sequence[str]) -> Inputs:
    """The inputs of `mixed_text`: a text and the name of a task for each row."""
    return {
        "text": text_array(texts),
        "text_pair": text_array([""] * len(texts)),
        "task": text_array(names),
    }


def token_inputs(preprocessor: Any, texts: Sequence[str], seq_length: int) -> Inputs:
    """The inputs of a signature on tokens, padded to the longest row.

    Args:
        preprocessor: A loaded preprocessor SavedModel.
        texts: B texts.
        seq_length: Longest row in tokens.
    """
    count = len(texts)
    windows = preprocessor.windows(
        {
            "text": tf.constant(list(texts)),
            "text_pair": tf.fill([count], ""),
            "has_pair": tf.fill([count], False),
            "is_question": tf.fill([count], False),
            "seq_lengths": tf.fill([count], seq_length),
        }
    )
    return {name: windows[name].numpy() for name in INPUTS}


def take_rows(tokens: Inputs, rows: Sequence[int]) -> Inputs:
    """Some rows of tokens, without the padding that they do not need."""
    longest = int(tokens["input_mask"][rows].sum(axis=1).max())
    return {name: value[rows, :longest] for name, value in tokens.items()}


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
