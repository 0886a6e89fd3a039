"""Writing tensors as `torch.save` does, without torch."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np

_FOLDER = "archive"


def write_torch_tensors(
    tensors: dict[str, np.ndarray], path: str | os.PathLike[str]
) -> None:
    """Write a state dict that `torch.load(path, weights_only=True)` reads.

    The zip format of torch 1.6 and later: a pickle of a few fixed instructions,
    which name the tensors, and each tensor's numbers in a part of their own.

    Args:
        tensors: Name -> float32 array.
        path: A new file.

    Raises:
        TypeError: if a tensor is not float32.
        OSError: if it cannot be written.
    """
    for name, value in tensors.items():
        if value.dtype != np.float32:
            raise TypeError(f"{name} must be float32. Received: {value.dtype}")
    parts = {"data.pkl": _pickle(tensors), "byteorder": b"little"}
    for key, value in enumerate(tensors.values()):
        parts[f"data/{key}"] = np.ascontiguousarray(value, "<f4").tobytes()
    parts["version"] = b"3\n"
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            # The date of a ZipInfo is fixed: equal tensors make equal files.
            archive.writestr(zipfile.ZipInfo(f"{_FOLDER}/{name}"), data)


def _pickle(tensors: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    out.write(pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK)
    for key, (name, value) in enumerate(tensors.items()):
        # Not ascontiguousarray, which gives a scalar a dimension.
        strides = [step // 4 for step in value.copy(order="C").strides]
        out.write(_text(name))
        out.write(_global("torch._utils", "_rebuild_tensor_v2") + pickle.MARK)
        out.write(pickle.MARK + _text("storage") + _global("torch", "FloatStorage"))
        out.write(_text(str(key)) + _text("cpu") + _integer(value.size))
        out.write(pickle.TUPLE + pickle.BINPERSID)
        out.write(_integer(0) + _integers(value.shape) + _integers(strides))
        out.write(pickle.NEWFALSE)  # requires_grad
        # No backward hooks.
        out.write(_global("collections", "OrderedDict"))
        out.write(pickle.EMPTY_TUPLE + pickle.REDUCE)
        out.write(pickle.TUPLE + pickle.REDUCE)
    out.write(pickle.SETITEMS + pickle.STOP)
    return out.getvalue()


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    data = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _integers(values: tuple[int, ...] | list[int]) -> bytes:
    return pickle.MARK + b"".join(map(_integer, values)) + pickle.TUPLE
