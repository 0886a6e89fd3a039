"""Read and write adapter directories: one small folder for each task."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
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
from adapters_tf.models.adapter_schema import check_fields, check_values
from adapters_tf.models.model_card import model_card
from adapters_tf.models.trainable_set import Tuning

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
