"""Read and write adapter directories: one small folder for each task."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy

from adapters_tf.adapters import adapter_from_dict
from adapters_tf.errors import AdapterFileError
from adapters_tf.io import new_directory, parse_json, read_json
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.model_card import model_card
from adapters_tf.models.trainable_set import Tuning

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


FORMAT_VERSION = 1
CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter.safetensors"
MODEL_CARD_FILE = "README.md"
_LIBRARIES = ("adapters-tf", "keras", "keras-hub")


def save_adapter(
    adapter: Adapter, directory: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Write an adapter directory atomically.

    `adapter.safetensors` holds the tensors by variable path. `adapter_config.json`
    holds all other fields of `Adapter`, the format version and the SHA-256 of the
    tensors' file. `README.md` is a model card for people; no program reads it.

    Args:
        adapter: From `AdapterModel.get_adapter`.
        directory: Where to write; missing parents are created.
        overwrite: Replace an adapter in this directory; unrelated files in it stay. A
            directory with other content than an adapter is never replaced.

    Raises:
        AdapterFileError: if the directory exists or cannot be written, a field has a
            value that `load_adapter` refuses, or a tensor is not finite.
    """
    path = Path(directory)
    if path.exists() and not overwrite:
        raise AdapterFileError(
            f"An adapter is saved to a new directory. Received: {str(path)!r}, which "
            "exists; choose another one or pass overwrite=True."
        )
    if path.exists() and not _is_replaceable(path):
        raise AdapterFileError(
            "overwrite=True replaces an adapter directory, and nothing else. "
            f"Received: {str(path)!r}, which is none; choose another one or remove it."
        )
    # Each Keras backend has the name of its library.
    libraries = (*_LIBRARIES, keras.config.backend())
    versions = {name: importlib.metadata.version(name) for name in libraries}
    adapter = dataclasses.replace(adapter, versions=versions | adapter.versions)
    config = adapter.to_dict()
    check_fields(config, "the adapter to save")
    check_values(adapter.tensors, "the adapter to save")
    # safetensors writes the memory of a transposed array in the wrong order.
    weights = safetensors.numpy.save(
        {path: np.ascontiguousarray(value) for path, value in adapter.tensors.items()}
    )
    config["format_version"] = FORMAT_VERSION
    config["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    files = {
        WEIGHTS_FILE: weights,
        CONFIG_FILE: text.encode(),
        MODEL_CARD_FILE: model_card(adapter).encode(),
    }
    try:
        with new_directory(path, replace=True, keep_others=True) as temporary:
            for name, data in files.items():
                (temporary / name).write_bytes(data)
    except OSError as error:
        raise AdapterFileError(
            f"The adapter could not be written to {str(path)!r}: "
            f"{error.strerror or error}"
        ) from error


def _is_replaceable(path: Path) -> bool:
    if not path.is_dir():
        return False
    if not any(path.iterdir()):
        return True
    # Check the content: AdapterHub's directories use the same file names.
    try:
        config = read_json(path / CONFIG_FILE)
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "weights_sha256" in config


def load_adapter(directory: str | os.PathLike[str]) -> Adapter:
    """Read an adapter directory and check all of it.

    Args:
        directory: Written by `save_adapter`.

    Returns:
        The adapter, with its tensors as float32 NumPy arrays.

    Raises:
        AdapterFileError: if a file is missing, unreadable or corrupt, the format
            version or a field is unknown, a field is missing or has a value of the
            wrong type or out of range, or a tensor is not finite.
    """
    path = Path(directory)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (path / name).is_file():
            raise AdapterFileError(
                f"An adapter directory holds {CONFIG_FILE} and {WEIGHTS_FILE}. "
                f"Received: {str(path)!r}, which "
                f"{f'has no {name}' if path.is_dir() else 'is not a directory'}."
            )
    try:
        config_bytes = (path / CONFIG_FILE).read_bytes()
        weights = (path / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        raise AdapterFileError(
            f"The adapter in {str(path)!r} could not be read: {error.strerror or error}"
        ) from error
    config = _parse_config(config_bytes, path / CONFIG_FILE)
    if hashlib.sha256(weights).hexdigest() != config.pop("weights_sha256"):
        raise AdapterFileError(
            f"{path / WEIGHTS_FILE} is corrupt or from another adapter: its SHA-256 is "
            f"not the one in {CONFIG_FILE}. Copy the directory again."
        )
    check_fields(config, str(path / CONFIG_FILE))
    try:
        tensors = safetensors.numpy.load(weights)
        about = config["adapter"]
        check_values(tensors, str(path / WEIGHTS_FILE))
        return Adapter(
            **config
            | {
                "tensors": tensors,
                "adapter": None if about is None else adapter_from_dict(about),
                "tuning": Tuning.of(config["tuning"]),
            }
        )
    except AdapterFileError:
        raise
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError) as error:
        raise AdapterFileError(f"{str(path)!r} is not usable: {error}") from error


def _parse_config(data: bytes, path: Path) -> dict[str, Any]:
    try:
        config = parse_json(data.decode("utf-8"))
    except ValueError as error:
        raise AdapterFileError(f"{path} is corrupt: {error}") from error
    version = config.pop("format_version", None) if isinstance(config, dict) else None
    if version != FORMAT_VERSION:
        raise AdapterFileError(
            f"The format version must be {FORMAT_VERSION}. Received: {version} in "
            f"{path}. A newer adapters-tf may read it."
        )
    known = {f.name for f in dataclasses.fields(Adapter)} - {"tensors"}
    known |= {"weights_sha256"}
    # Only adapters for bases other than BERT have this field.
    optional = {"backbone"} - set(config)
    if set(config) != known - optional:
        raise AdapterFileError(
            f"{path} must have exactly the fields of format {FORMAT_VERSION}. "
            f"Missing: {sorted(known - optional - set(config))}; "
            f"unknown: {sorted(set(config) - known)}"
        )
    return config
