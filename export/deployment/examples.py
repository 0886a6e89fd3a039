"""Realistic inputs, for warm-up and for the example clients."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapters_tf.errors import UserError
from adapters_tf.export.rows import SEPARATOR
from adapters_tf.export.session import Signature

# A row is (text, text_pair); the pair is "" if a task has one text column.
Row = tuple[str, str]

_SHORT = "A quiet film with a lovely cast."
_LONG = (
    "The first half is slow, and I nearly left; but from the storm on it holds "
    "together, the two sisters are played with great care, and the last scene, in "
    "which neither of them says a word, is worth the price of the ticket alone. "
) * 4
_SINGLES = ((_SHORT, ""), (_LONG, ""))
_TOKEN_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
# Ids after the special tokens that start BERT's vocabularies, which are larger.
_FIRST_WORD, _WORDS = 5, 16


@dataclasses.dataclass(frozen=True)
class Examples:
    """Example rows for every task, and the length of a row of tokens.

    Attributes:
        rows: Task name -> rows, the most important tasks first, each with at least one
            row. Short and long texts should alternate.
        seq_length: Tokens of a full row.
    """

    rows: Mapping[str, Sequence[Row]]
    seq_length: int


def default_examples(
    servable: Mapping[str, Any], rows: Mapping[str, Sequence[Row]] | None = None
) -> Examples:
    """Return a short and a long text, pair or question for each task.

    Args:
        servable: The content of `servable.json`.
        rows: Real rows of some tasks, used instead.

    Raises:
        UserError: if `rows` names a task that the servable lacks, or is empty for a
            task.
    """
    # Imported here, because clients import this module without Keras.
    from adapters_tf.tasks.kinds import kind_named

    rows = dict(rows or {})
    unknown = sorted(set(rows) - set(servable["tasks"]))
    empty = sorted(name for name in rows if not rows[name])
    if unknown or empty:
        raise UserError(
            "rows must have at least one row for each task that it names, and name "
            f"tasks of the servable. Received: {unknown + empty}. The servable has: "
            f"{sorted(servable['tasks'])}"
        )
    for name, task in servable["tasks"].items():
        if name not in rows:
            count = max(len(task["text_columns"]), 1)
            own = kind_named(task["kind"]).example_rows(_SHORT, _LONG, count)
            rows[name] = [(row[0], SEPARATOR.join(row[1:])) for row in own]
    # Use the servable's order, not the order of `rows`.
    return Examples({n: rows[n] for n in servable["tasks"]}, servable["seq_length"])


def task_of(signature_name: str, examples: Examples) -> str | None:
    """Return a signature's task, or `None` for a signature of all tasks."""
    if signature_name in examples.rows:
        return signature_name
    task = signature_name.removesuffix("_text")
    return task if task in examples.rows else None


def make_inputs(
    name: str, signature: Signature, examples: Examples, rows: int, length: int
) -> dict[str, np.ndarray]:
    """Make values for the inputs of a signature.

    Args:
        name: The signature's name.
        signature: Its inputs.
        examples: The source of texts and task names.
        rows: The batch size.
        length: Tokens per row, for inputs of tokens without a fixed length.

    Returns:
        Input name -> array, `[rows]` of Python bytes or `[rows, length]`.

    Raises:
        UserError: if it has inputs with unknown names.
    """
    values: dict[str, np.ndarray] = {}
    task = task_of(name, examples)
    texts = _text_rows(task, examples, rows)
    for input_name, info in signature.inputs.items():
        if input_name in ("text", "text_pair", "task"):
            column = ("text", "text_pair", "task").index(input_name)
            strings = [row[column].encode() for row in texts]
            values[input_name] = np.array(strings, object)
        elif input_name in _TOKEN_INPUTS:
            if info.shape is not None and info.shape[1] is not None:
                length = info.shape[1]
            array = _tokens(input_name, rows, length)
            values[input_name] = array.astype(info.dtype.as_numpy_dtype)
        else:
            raise UserError(
                f"Examples are known for text, text_pair, task and {_TOKEN_INPUTS}. "
                f"Received: signature {name!r} with the input {input_name!r}. Make "
                "its requests yourself and give them to write_warmup."
            )
    return values


def _text_rows(
    task: str | None, examples: Examples, rows: int
) -> list[tuple[str, str, str]]:
    """Return `rows` (text, text_pair, task), of one task or alternating tasks."""
    if task is not None:
        own = examples.rows[task]
        return [(*own[i % len(own)], task) for i in range(rows)]
    names = list(examples.rows)
    found = []
    for i in range(rows):
        turn, at = divmod(i, max(len(names), 1))
        if names:
            own = examples.rows[names[at]]
            # Mix short and long texts across tasks.
            found.append((*own[(turn + at) % len(own)], names[at]))
        else:
            found.append((*_SINGLES[i % 2], ""))
    return found


def _tokens(name: str, rows: int, length: int) -> np.ndarray:
    """Make rows of tokens that end in padding; every other row is half full."""
    position = np.arange(length)[None, :]
    filled = np.where(np.arange(rows) % 2, (length + 1) // 2, length)[:, None]
    inside = position < filled
    if name == "input_mask":
        return inside.astype(np.int32)
    if name == "input_type_ids":
        return (inside & (position >= filled // 2)).astype(np.int32)
    words = _FIRST_WORD + (position + np.arange(rows)[:, None]) % _WORDS
    return np.where(inside, words, 0).astype(np.int32)
