"""The tensors of a directory, in whichever of two formats they are."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors

from adapters_tf.convert.torch_file import from_bfloat16, read_torch_tensors
from adapters_tf.errors import UserError

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_DTYPES |= {"I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}


def read_tensors(
    directory: str | os.PathLike[str], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The tensors of the first of these files that is there.

    Args:
        directory: Where to look.
        names: File names; those that end in `.safetensors` are read with that
            library, others with `read_torch_tensors`. The safe one goes first.

    Returns:
        Name -> array; floating-point ones as float32.

    Raises:
        UserError: if none is there, it is not usable, or a value is not finite or
            is too large for float32.
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
