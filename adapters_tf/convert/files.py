"""JSON files and tensor files of other libraries."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from adapters_tf.convert.torch_files import from_bfloat16, read_torch_tensors
from adapters_tf.errors import UserError


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read the object in a JSON file.

    Args:
        path: The file.
        missing: What to return if there is no such file.

    Raises:
        UserError: The file is missing or holds no JSON object.
    """
    if missing is not None and not path.exists():
        return missing
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        held = ""
        if path.parent.is_dir():
            names = sorted(p.name for p in path.parent.iterdir())[:10]
            held = f"; the directory holds {names}"
        raise UserError(
            f"{str(path)!r} could not be read: {error.strerror or error}{held}"
        ) from error
    except (ValueError, RecursionError) as error:
        # RecursionError: thousands of brackets inside one another.
        raise UserError(f"{str(path)!r} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise UserError(
            f"{str(path)!r} must hold a JSON object. Received: a {type(value).__name__}"
        )
    return value


def field(config: dict[str, Any], name: str, kind: type[Any], where: str) -> Any:
    """Read a required field.

    Args:
        config: A configuration.
        name: The field.
        kind: Its type; an `int` must be 1 or more.
        where: What the error calls the configuration.

    Raises:
        UserError: The field is missing or has another type.
    """
    value: Any = config.get(name)
    if type(value) is not kind or (kind is int and value < 1):
        raise UserError(
            f"{where} must have the field {name}, a "
            f"{'positive whole number' if kind is int else kind.__name__}. Received: "
            f"{name}={value!r}"
        )
    return value


def rate(config: dict[str, Any], name: str, default: float) -> float:
    """Read a dropout rate.

    Args:
        config: A configuration.
        name: The field.
        default: The rate if there is no such field.

    Raises:
        UserError: The rate is not a number from 0 to below 1.
    """
    value = config.get(name, default)
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise UserError(
            f"{name} must be a number from 0 to below 1. Received: {name}={value!r}"
        )
    return float(value)


_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_DTYPES |= {"I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}


def read_tensors(
    directory: str | os.PathLike[str], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Read the tensors of the first of these files that exists.

    Args:
        directory: Where to look.
        names: File names. The library safetensors reads those that end in
            `.safetensors`, `read_torch_tensors` the others. Put the safe format first.

    Returns:
        Name -> array; floating-point ones as float32.

    Raises:
        UserError: No file exists, the file is not usable, or a value is not finite or
            too large for float32.
    """
    folder = Path(directory)
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        held = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else None
        raise UserError(
            f"The directory must hold {' or '.join(names)}. Received: "
            f"{str(folder)!r}, which "
            + ("is no directory" if held is None else f"holds {held[:10]}")
        )
    if path.suffix == ".safetensors":
        tensors = _read_safetensors(path)
    else:
        tensors = read_torch_tensors(path)
    return {name: _float32(value, name, path) for name, value in tensors.items()}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        # Not safetensors.numpy: it does not read bfloat16.
        entries = safetensors.deserialize(path.read_bytes())
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except safetensors.SafetensorError as error:
        raise UserError(f"{str(path)!r} is damaged: {error}") from error
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            raise UserError(
                f"Tensors must be of one of these types: {', '.join(_DTYPES)}. "
                f"Received: {entry['dtype']} in {name} of {str(path)!r}"
            )
        value = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
        value = value.reshape(entry["shape"])
        tensors[name] = from_bfloat16(value) if entry["dtype"] == "BF16" else value
    return tensors


def _float32(value: np.ndarray, name: str, path: Path) -> np.ndarray:
    if value.dtype.kind != "f":
        return value
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise UserError(
            "Tensors must hold finite numbers that float32 can hold. Received: "
            f"{name} of {str(path)!r}, with NaN, infinity or a larger one"
        )
    return value
