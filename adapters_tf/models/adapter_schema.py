"""What the fields of an adapter directory may hold, checked on writing and reading."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from adapters_tf.errors import AdapterFileError

# Of classes, tokens and blocks; a file with more would only exhaust the memory.
_MOST = 2**20


def _is_text(value: Any) -> bool:
    # JSON can write half of a surrogate pair, which no file and no tensor can hold.
    return isinstance(value, str) and not any("\ud800" <= c < "\ue000" for c in value)


def _is_name(value: Any) -> bool:
    return _is_text(value) and value.strip() != ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int) and 1 <= value <= _MOST


def _is_rate(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_set(value: Any) -> bool:
    return _is_list(value) and len(set(value)) == len(value)


def _or_null(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or rule(value)


def _all_values(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: _is_object(value) and all(map(rule, value.values()))


# Field, or field and the field inside it; its rule; the rule in words. Fields inside
# others may be missing.
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("kind", _is_name, "a text, the name of a kind of task"),
    ("adapter", _or_null(_is_object), "an object, or null for none"),
    ("tuning", _is_object, "an object"),
    ("tuning.method", _is_name, "a text, the name of a tuning method"),
    ("tuning.top_n", _or_null(_is_count), "a whole number from 1, or null"),
    ("head", _is_object, "an object"),
    ("head.num_classes", _is_count, "a whole number from 1"),
    ("head.head_input", _is_name, "a text"),
    ("head.dropout", _is_rate, "a number from 0 to below 1"),
    ("head.hidden_layer", lambda value: isinstance(value, bool), "true or false"),
    ("base_fingerprint", _or_null(_is_text), "a text, or null"),
    ("task", _is_object, "an object"),
    ("task.name", _is_text, "a text"),
    ("task.kind", _is_name, "a text, the name of a kind of task"),
    ("task.text_columns", _is_list, "a list of texts, names of columns"),
    ("task.labels", _is_set, "a list of texts that differ"),
    ("task.metrics", _is_set, "a list of texts that differ, names of metrics"),
    ("metrics", _all_values(_is_number), "an object of numbers"),
    ("preset", _or_null(_is_name), "a text, or null"),
    ("seq_length", _is_count, "a whole number from 1"),
    ("training", _is_object, "an object"),
    ("versions", _all_values(_is_text), "an object of texts"),
    ("backbone", _is_name, "a text, the name of a keras-hub class"),
)


def check_fields(fields: Mapping[str, Any], place: str) -> None:
    """Check the fields of an adapter without its tensors.

    Args:
        fields: As `Adapter.to_dict` returns them.
        place: Where they are from, for the error.

    Raises:
        AdapterFileError: if a value has another type or is out of range, or two fields
            contradict each other; names the first.
    """
    for path, rule, words in _RULES:
        name, _, inner = path.partition(".")
        holder: Any = fields[name] if inner and name in fields else fields
        key = inner or name
        if key in holder and not rule(holder[key]):
            raise AdapterFileError(
                f"{path} must be {words}. Received: {_short(holder[key])} in {place}"
            )
    task, classes = fields["task"], fields["head"].get("num_classes")
    if task.get("kind", fields["kind"]) != fields["kind"]:
        raise AdapterFileError(
            f"task.kind must be the adapter's kind, {fields['kind']!r}. Received: "
            f"{_short(task['kind'])} in {place}"
        )
    if classes and task.get("labels") and len(task["labels"]) != classes:
        raise AdapterFileError(
            f"task.labels must name each of the head's {classes} classes, or be empty. "
            f"Received: {len(task['labels'])} names in {place}"
        )


def check_values(tensors: Mapping[str, np.ndarray], place: str) -> None:
    """Check that the tensors of an adapter are finite floating-point numbers.

    Args:
        tensors: The tensors by path.
        place: Where they are from, for the error.

    Raises:
        AdapterFileError: if one is not; names it.
    """
    for path, value in tensors.items():
        if value.dtype.kind != "f":
            raise AdapterFileError(
                f"An adapter's tensors must be float32. Received: {path} of "
                f"{value.dtype} in {place}"
            )
        if not np.isfinite(value).all():
            raise AdapterFileError(
                f"The adapter's tensor {path} holds NaN or infinity, in {place}."
            )


def _short(value: Any) -> str:
    """Return the value as JSON, cut to a line."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, default=repr)
    return text if len(text) <= 100 else f"{text[:100]}..."
