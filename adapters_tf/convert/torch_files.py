"""Tensor files of torch, read and written without torch and without running them.

A file of `torch.save` is a zip archive of raw numbers and a pickle that describes them,
and a pickle may call any function. Python's unpickler, restricted as its documentation
proposes, can call only what a state dict of tensors needs; any other name in a file is
refused before it is looked up. The readers on the package index are young and have one
author each.

The format is that of `torch.serialization` (versions 2 and 3 of the zip format, and the
one before torch 1.6), read from its source.
"""

import collections
import io
import math
import os
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapters_tf.errors import UserError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MOST_DIMENSIONS = 8
# Tensors may share numbers, as the embeddings and the output layer of a language model
# do. Together they may be this many times as large as the file, plus a little.
_MOST_SHARED, _LITTLE = 4, 2**20
# Name of a storage's class -> NumPy dtype. Two bytes of BFloat16 become float32.
_BFLOAT16 = "BFloat16Storage"
_STORAGES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    _BFLOAT16: np.dtype("<u2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "BoolStorage": np.dtype("?"),
}


class _Refused(Exception):
    """A file that is not a state dict of tensors; the text says why."""


class _Tensor(NamedTuple):
    # A tuple, as a pickle can change the attributes of anything else.
    storage: tuple[str, str, int]  # class, key, number of elements
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_tensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the tensors of a state dict that `torch.save` wrote.

    Args:
        path: A file such as `pytorch_adapter.bin`, in today's zip format or the one
            before torch 1.6.

    Returns:
        Name -> array in its own dtype; bfloat16 as float32, which holds it exactly.

    Raises:
        UserError: The file cannot be read, is damaged, or holds anything but
            tensors by name. Nothing in it is run.
    """
    try:
        data = Path(path).read_bytes()
        # By its first bytes, as torch does: `is_zipfile` looks at the last ones.
        if data[:4] == b"PK\x03\x04":
            return _read_zip(data)
        return _read_legacy(data)
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except _Refused as error:
        raise UserError(
            "A torch file must be a state dict: tensors by name, and nothing else. "
            f"Received: {str(path)!r}, {error}. Nothing of it was run or used."
        ) from error
    except Exception as error:
        # Python's unpickler raises whatever type the damage happens to meet. The
        # text is left out: it may be as long as the file's author likes.
        raise UserError(
            f"{str(path)!r} is damaged or is no file of torch.save "
            f"({type(error).__name__} while reading it). Copy it again."
        ) from error


def _read_zip(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        prefix = _check_archive(archive, len(data))
        names = set(archive.namelist())
        if f"{prefix}/byteorder" in names:
            order = archive.read(f"{prefix}/byteorder")
            if order != b"little":
                raise _Refused("which was written on a big-endian machine")

        def storage_bytes(key: str) -> bytes:
            name = f"{prefix}/data/{key}"
            if name not in names:
                raise _Refused(f"which lacks its part data/{key}")
            return archive.read(name)

        tensors = _load_tensors(io.BytesIO(archive.read(f"{prefix}/data.pkl")))
        return _resolve(tensors, storage_bytes, len(data))


def _check_archive(archive: zipfile.ZipFile, size: int) -> str:
    """Check the archive's directory and return the name of its one folder."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    for entry in entries:
        # torch stores, so what it wrote is never larger than the file it is in.
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise _Refused(f"whose part {entry.filename[:80]!r} is not plainly stored")
        parts = re.split(r"[/\\]", entry.filename)
        if ".." in parts or not parts[0] or ":" in parts[0]:
            raise _Refused(f"whose part {entry.filename[:80]!r} points outside of it")
    if sum(entry.file_size for entry in entries) > size:
        raise _Refused("whose parts are said to be larger than the file")
    if len(set(names)) != len(names):
        raise _Refused("which has several parts of one name")
    folders = [n.removesuffix("/data.pkl") for n in names if n.endswith("/data.pkl")]
    if len(folders) != 1 or "/" in folders[0]:
        raise _Refused("a zip archive that is not torch's: it has no one data.pkl")
    if f"{folders[0]}/constants.pkl" in names:
        raise _Refused("which is TorchScript, a program")
    return folders[0]


def _read_legacy(data: bytes) -> dict[str, np.ndarray]:
    file = io.BytesIO(data)
    if data[:1] != b"\x80":
        raise _Refused("which begins like no file of torch.save")
    for expected in (_LEGACY_MAGIC, _LEGACY_PROTOCOL):
        if _load(file) != expected:
            raise _Refused("which is a pickle, and not of torch.save")
    about = _load(file)
    if not isinstance(about, dict) or about.get("little_endian") is not True:
        raise _Refused("which was written on a big-endian machine")
    tensors = _load_tensors(file)
    keys = _load(file)
    storages = {}
    sizes = {t.storage[1]: _STORAGES[t.storage[0]].itemsize for t in tensors.values()}
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in sizes or key in storages:
            raise _Refused("which holds numbers that no tensor uses")
        (count,) = struct.unpack("<q", file.read(8))
        if not 0 <= count * sizes[key] <= len(data):
            raise _Refused("whose parts are said to be larger than the file")
        storages[key] = file.read(count * sizes[key])
    if file.read(1) or set(storages) != set(sizes):
        raise _Refused("whose numbers are not those of its tensors")
    return _resolve(tensors, storages.__getitem__, len(data))


class _Unpickler(pickle.Unpickler):
    """Python's unpickler with no globals but those of a state dict."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in _STORAGES:
            return name
        # New functions for each file: a pickle can set attributes of what it was
        # given, and shall not change what the next file gets.
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *args: _rebuild_tensor(args)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda *args: args[0]
        raise _Refused(f"which asks for {f'{module}.{name}'[:120]!r}")

    def persistent_load(self, pid: Any) -> tuple[str, str, int]:
        # ("storage", class, key, device, elements), and in the old format a sixth:
        # a view of another storage, which is None in a state dict.
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise _Refused("which refers to something that is not stored in it")
        kind, key, count = pid[1], pid[2], pid[4]
        if len(pid) == 6 and pid[5] is not None:
            raise _Refused("which has views of storages")
        if not isinstance(kind, str) or kind not in _STORAGES:
            raise _Refused("which has storages of an unknown type")
        if not isinstance(key, str) or not re.fullmatch("[0-9]{1,30}", key):
            raise _Refused("whose storages have other names than torch gives")
        if type(count) is not int:
            raise _Refused("whose storages have no size")
        return kind, key, count


def _rebuild_tensor(args: tuple[Any, ...]) -> _Tensor:
    storage, offset, shape, strides = args[:4]
    numbers = (offset, *shape, *strides)
    if (
        type(storage) is not tuple
        or not len(shape) == len(strides) <= _MOST_DIMENSIONS
        or not all(type(n) is int and n >= 0 for n in numbers)
    ):
        raise _Refused("which has a tensor of impossible form")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _load(file: io.BytesIO) -> Any:
    """The next pickle of the file."""
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):
        # Python's unpickler makes a list as long as the largest number of a memo.
        if "PUT" in opcode.name and (argument or 0) > len(file.getbuffer()):
            raise _Refused("which asks for more memory than it is large")
    file.seek(start)
    return _Unpickler(file).load()


def _load_tensors(file: io.BytesIO) -> dict[str, _Tensor]:
    tensors = _load(file)
    if not isinstance(tensors, dict) or not tensors:
        raise _Refused(f"which holds a {type(tensors).__name__} and no named tensors")
    for name, value in tensors.items():
        if not isinstance(name, str) or type(value) is not _Tensor:
            raise _Refused(
                f"whose entry {str(name)[:120] if isinstance(name, str) else '?'!r} is "
                f"a {type(value).__name__} and no tensor"
            )
    return dict(tensors)


def _resolve(
    tensors: dict[str, _Tensor],
    storage_bytes: Callable[[str], bytes],
    file_size: int,
) -> dict[str, np.ndarray]:
    """The arrays of all tensors, in their order.

    A storage is read once, and let go before the next one: together they are as large
    as the file.
    """
    names: dict[str, list[str]] = collections.defaultdict(list)
    for name, tensor in tensors.items():
        names[tensor.storage[1]].append(name)
    arrays = {}
    left = _MOST_SHARED * file_size + _LITTLE
    for key, its_names in names.items():
        data = storage_bytes(key)
        for name in its_names:
            value = _view(name, tensors[name], data)
            left -= value.nbytes
            if left < 0:
                raise _Refused(
                    f"whose tensors are more than {_MOST_SHARED} times as large as it, "
                    f"with {len(its_names)} that share part {key}"
                )
            value = np.array(value, order="C")
            bfloat16 = tensors[name].storage[0] == _BFLOAT16
            arrays[name] = from_bfloat16(value) if bfloat16 else value
    return {name: arrays[name] for name in tensors}


def _view(name: str, tensor: _Tensor, data: bytes) -> np.ndarray:
    """A tensor as a view of its storage's bytes."""
    kind, key, count = tensor.storage
    dtype = _STORAGES[kind]
    if len(data) != count * dtype.itemsize:
        raise _Refused(f"whose part {key} is not of the size that is said")
    size = math.prod(tensor.shape)
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((n - 1) * step for n, step in steps)
    # More elements than are stored: one number spread over any amount of memory.
    if size > count or (size and last >= count):
        raise _Refused(f"whose tensor {name[:120]!r} is larger than its numbers")
    return np.ndarray(
        tensor.shape,
        dtype,
        data,
        tensor.offset * dtype.itemsize if size else 0,
        tuple(step * dtype.itemsize for step in tensor.strides),
    )


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 values of bfloat16 ones.

    Args:
        bits: uint16 array: the upper halves of float32 numbers.
    """
    return (bits.astype("<u4") << 16).view("<f4")


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
        TypeError: A tensor is not float32.
        OSError: The file cannot be written.
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
