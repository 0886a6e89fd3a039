"""The file of a live task: everything that a servable needs to answer for it.

A file is 72 bytes of header, a `tf.train.Example` that describes the task, and the
task's numbers:

| bytes | content |
|---|---|
| 0-7 | `ADTASK01` |
| 8-39 | the fingerprint of its base, four little-endian int64 |
| 40-47 | `TaskLayout.number`, int64 |
| 48-55 | the length of the file in bytes, int64 |
| 56-63 | the length of the description in bytes, int64 |
| 64-71 | `checksum` of bytes 0-63 and the description, int64 |

The numbers are little-endian arrays end to end, one for each section. A section joins
an array of all places in the base, such as the down-projections of all blocks, so that
a graph can join the sections of many tasks with a few operations.
"""

import json
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from adapters_tf.adapters import full_forms
from adapters_tf.errors import AdapterFileError
from adapters_tf.export.bank import (
    BankLayout,
    ExportedTask,
    absent_adapters,
    build_bank,
    split_bank,
)
from adapters_tf.export.base_functions import fingerprint_words
from adapters_tf.export.task_layout import (
    BIAS,
    HIDDEN_BIAS,
    HIDDEN_KERNEL,
    KERNEL,
    TaskLayout,
)
from adapters_tf.export.task_tensors import NORM

MAGIC = b"ADTASK01"
HEADER = 72
# The part of the header that the checksum at its end covers.
COVERED = 64
# `tf.strings.to_hash_bucket_fast` needs a number of buckets in an int64.
BUCKETS = 2**63 - 1


def checksum(data: bytes) -> int:
    """Return the FarmHash of bytes that `tf.strings.to_hash_bucket_fast` computes."""
    return int(tf.strings.to_hash_bucket_fast([data], BUCKETS)[0])


# === Writing ===


def task_bytes(task: ExportedTask, layout: TaskLayout) -> bytes:
    """Return the content of a task's file.

    Args:
        task: The task.
        layout: The layout of its base.
    """
    bank = build_bank([task], layout.base, full_forms())
    arrays, integers = _to_sections(bank, layout)
    labels = task.config["task"].get("labels") or [""] * integers["outputs"][0]
    texts = {
        "kind": [task.config["kind"]],
        "head_input": [task.config["head"].get("head_input", "cls")],
        "labels": labels,
        "config": [json.dumps(task.config)],
    }
    integers["seq_length"] = np.array([task.config["seq_length"]])
    integers["texts"] = np.array([len(task.config["task"].get("text_columns", ()))])
    sizes = [integers[f"{form.name}/size"].max(initial=0) for form in full_forms()]
    integers["bottleneck_dim"] = np.array([max(sizes)])
    integers["parameters"] = np.array([_count_parameters(task, layout.base)])
    return _to_bytes(layout, bank["fingerprint"], arrays, integers, texts)


def _count_parameters(task: ExportedTask, base: BankLayout) -> int:
    once = {"fingerprint", *(tensor.name for tensor in task.form.once())}
    absent = absent_adapters(
        task.config, task.encoder, base.block_paths, base.hidden_dim
    )
    own = [v for name, v in task.encoder.items() if name not in once | absent]
    return sum(value.size for value in [*own, *task.head.values()])


def blank_bytes(layout: TaskLayout, fingerprint: str, kind: str) -> bytes:
    """Return the content of a file without adapters, whose LayerNorms are the base's.

    A graph puts it before the files that it reads. Each of its sections is one item of
    zeros, which pads the tasks' own, as in `adapters_tf.adapters.joined`. It has no
    kernel of a head's hidden layer, because that would be large.

    Args:
        layout: The layout of the base.
        fingerprint: The base's `base_fingerprint`.
        kind: The name of any kind.
    """
    arrays = {
        s.name: np.zeros((int(s.name != HIDDEN_KERNEL), *s.shape), s.dtype)
        for s in layout.sections
    }
    integers = {n: np.zeros(size, np.int64) for n, size in layout.integers.items()}
    integers |= {"seq_length": np.array([2]), "texts": np.array([1])}
    texts = {"kind": [kind], "head_input": ["cls"], "labels": [""], "config": ["{}"]}
    return _to_bytes(layout, fingerprint_words(fingerprint), arrays, integers, texts)


def _to_sections(
    bank: dict[str, np.ndarray], layout: TaskLayout
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    arrays: dict[str, np.ndarray] = {}
    integers: dict[str, np.ndarray] = {}
    for form in full_forms():
        arrays |= {t.name: bank[t.name] for t in form.once()}
        paths = form.paths(layout.base.block_paths)
        sizes = [bank[f"{path}/size"][0] for path in paths]
        integers[f"{form.name}/size"] = np.array(sizes, np.int64)
        for t in form.at_site(layout.base.hidden_dim):
            name, of_paths = f"{form.name}/{t.name}", [f"{p}/{t.name}" for p in paths]
            if t.ragged:
                shapes = [bank[f"{key}/shape"][0] for key in of_paths]
                integers[f"{name}/shape"] = np.concatenate(shapes).astype(np.int64)
            if t.ragged or t.unit_axis is not None:
                # Position 0 belongs to no task.
                arrays[name] = np.concatenate([bank[key][1:] for key in of_paths])
            else:
                arrays[name] = np.stack([bank[key] for key in of_paths], axis=1)
    own = [bank[f"{path}/row"][0] > 0 for path in layout.base.norm_paths]
    integers["norms"] = np.array(own, np.int64)
    for size, places in layout.norm_sizes.items():
        for name in NORM:
            of_paths = [f"{layout.base.norm_paths[i]}/{name}" for i in places]
            rows = [bank[key][1:] for key in of_paths]
            arrays[f"norms/{size}/{name}"] = np.concatenate(rows)
    arrays |= {KERNEL: bank[KERNEL][1:], BIAS: bank[BIAS][1:]}
    integers["outputs"] = bank["head/size"].astype(np.int64)
    hidden, d = HIDDEN_KERNEL in bank, layout.base.hidden_dim
    integers["hidden"] = np.array([hidden], np.int64)
    arrays[HIDDEN_KERNEL] = bank[HIDDEN_KERNEL][1:] if hidden else np.zeros((0, d, d))
    arrays[HIDDEN_BIAS] = bank[HIDDEN_BIAS][1:] if hidden else np.zeros((0, d))
    return arrays, integers


def _to_bytes(
    layout: TaskLayout,
    fingerprint: np.ndarray,
    arrays: dict[str, np.ndarray],
    integers: dict[str, np.ndarray],
    texts: dict[str, list[str]],
) -> bytes:
    parts = [
        np.ascontiguousarray(arrays[s.name], np.dtype(s.dtype).newbyteorder("<"))
        for s in layout.sections
    ]
    sections = [part.tobytes() for part in parts]
    integers = integers | {
        "lengths": np.array([len(part) for part in sections]),
        "checksums": np.array([checksum(part) for part in sections]),
    }
    features = {
        **{n: tf.train.Feature(int64_list={"value": v}) for n, v in integers.items()},
        **{
            name: tf.train.Feature(bytes_list={"value": [v.encode() for v in values]})
            for name, values in texts.items()
        },
    }
    example = tf.train.Example(features={"feature": features})
    about = example.SerializeToString(deterministic=True)
    size = HEADER + len(about) + sum(map(len, sections))
    covered = MAGIC + struct.pack("<7q", *fingerprint, layout.number, size, len(about))
    end = struct.pack("<q", checksum(covered + about))
    return b"".join([covered, end, about, *sections])


# === Reading ===


class TaskFile(NamedTuple):
    """A file's task, as far as it can be read without its base's layout.

    Attributes:
        config: The adapter's `exported_config`.
        fingerprint: `[4]` int64, `fingerprint_words` of its base.
        layout: The number of its layout.
        parameters: Number of parameters that it adds to the base.
        bottleneck_dim: Units of its largest bottleneck, 0 without adapters.
        num_bytes: The file's size.
    """

    config: dict[str, Any]
    fingerprint: np.ndarray
    layout: int
    parameters: int
    bottleneck_dim: int
    num_bytes: int

    @classmethod
    def from_bytes(cls, data: bytes, path: str | os.PathLike[str]) -> "TaskFile":
        """Read the description of a task's file, and check all of its bytes.

        Args:
            data: The file's content.
            path: The file's name, for the message.

        Raises:
            AdapterFileError: if it is damaged or no task's file.
        """
        return cls._of_example(_read_example(data, path), data, len(data))

    @classmethod
    def read_description(cls, path: Path) -> "TaskFile":
        """Read only the description of a task's file, which has its own checksum.

        Raises:
            AdapterFileError: if it cannot be read, is damaged or no task's file.
        """
        if not path.is_file():
            raise AdapterFileError(f"{str(path)!r} is not a file.")
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read(HEADER)
                data += file.read(_about_length(data, size))
        except OSError as error:
            raise AdapterFileError(f"{str(path)!r}: {error.strerror}") from error
        return cls._of_example(_read_about(data, size, path), data, size)

    @classmethod
    def _of_example(cls, about: Any, data: bytes, size: int) -> "TaskFile":
        numbers = np.frombuffer(data, "<i8", 5, len(MAGIC)).astype(np.int64)
        return cls(
            json.loads(about["config"].bytes_list.value[0]),
            numbers[:4],
            int(numbers[4]),
            about["parameters"].int64_list.value[0],
            about["bottleneck_dim"].int64_list.value[0],
            size,
        )


def read_task_bytes(
    data: bytes, layout: TaskLayout, path: str | os.PathLike[str]
) -> ExportedTask:
    """Read a task from its file, exactly as `task_bytes` was given it.

    Args:
        data: The file's content.
        layout: The layout of its base.
        path: The file's name, for the message.

    Raises:
        AdapterFileError: if it is damaged, no task's file, or of another layout.
    """
    about, file = _read_example(data, path), TaskFile.from_bytes(data, path)
    if file.layout != layout.number:
        raise AdapterFileError(
            f"{os.fspath(path)!r} is a task's file for another base or for one that "
            "another version of adapters-tf exported. Add its adapter again."
        )
    arrays, start = {}, len(data) - sum(about["lengths"].int64_list.value)
    lengths = about["lengths"].int64_list.value
    for section, length in zip(layout.sections, lengths, strict=True):
        part = data[start : start + length]
        numbers = np.frombuffer(part, np.dtype(section.dtype).newbyteorder("<"))
        numbers = numbers.astype(section.dtype)
        arrays[section.name] = numbers.reshape(-1, *section.shape)
        start += length
    integers = {n: np.array(about[n].int64_list.value) for n in layout.integers}
    bank = _from_sections(arrays, integers, layout)
    bank["fingerprint"] = file.fingerprint
    return split_bank(bank, [file.config], layout.base)[0]


def _read_example(data: bytes, path: str | os.PathLike[str]) -> Any:
    """Return the features of a file whose every byte is as it was written."""
    features = _read_about(data, len(data), path)
    start = HEADER + _about_length(data, len(data))
    wanted = features["checksums"].int64_list.value
    for size, number in zip(features["lengths"].int64_list.value, wanted, strict=True):
        if checksum(data[start : start + size]) != number:
            raise AdapterFileError(
                f"{_problem(path)}a checksum of its numbers differs."
            )
        start += size
    return features


def _read_about(data: bytes, num_bytes: int, path: str | os.PathLike[str]) -> Any:
    """Return the features of a file of this size, which starts with `data`."""
    if len(data) < HEADER or not data.startswith(MAGIC):
        raise AdapterFileError(f"{_problem(path)}it does not start as one.")
    size, _, expected = struct.unpack_from("<3q", data, COVERED - 16)
    about = data[HEADER : HEADER + _about_length(data, num_bytes)]
    if checksum(data[:COVERED] + about) != expected:
        raise AdapterFileError(
            f"{_problem(path)}the checksum of its description differs."
        )
    if num_bytes != size:
        raise AdapterFileError(f"{_problem(path)}it has {num_bytes} of {size} bytes.")
    return tf.train.Example.FromString(about).features.feature


def _about_length(data: bytes, num_bytes: int) -> int:
    """Return the length of the description that a header gives, if there is room."""
    if len(data) < HEADER:
        return 0
    (length,) = struct.unpack_from("<q", data, COVERED - 8)
    return min(max(length, 0), num_bytes - HEADER)


def _problem(path: str | os.PathLike[str]) -> str:
    return f"{os.fspath(path)!r} is not the file of a task, or it is damaged: "


def _from_sections(
    arrays: dict[str, np.ndarray], integers: dict[str, np.ndarray], layout: TaskLayout
) -> dict[str, np.ndarray]:
    """Undo `_to_sections`."""
    bank: dict[str, np.ndarray] = {}
    for form in full_forms():
        bank |= {t.name: arrays[t.name] for t in form.once()}
        paths = form.paths(layout.base.block_paths)
        sizes = integers[f"{form.name}/size"]
        for path, size in zip(paths, sizes, strict=True):
            bank[f"{path}/offset"], bank[f"{path}/size"] = _one(1), _one(size)
        for t in form.at_site(layout.base.hidden_dim):
            name, of_paths = f"{form.name}/{t.name}", [f"{p}/{t.name}" for p in paths]
            counts = sizes
            if t.ragged:
                shapes = integers[f"{name}/shape"].reshape(len(paths), len(t.shape))
                counts = shapes.prod(axis=1)
                for key, shape in zip(of_paths, shapes, strict=True):
                    bank[f"{key}/shape"], bank[f"{key}/offset"] = shape[None], _one(1)
            if t.ragged or t.unit_axis is not None:
                parts = np.split(arrays[name], np.cumsum(counts)[:-1])
                parts = [_after_zero(part) for part in parts]
                bank |= dict(zip(of_paths, parts, strict=True))
            else:
                bank |= {key: arrays[name][:, i] for i, key in enumerate(of_paths)}
    for size, places in layout.norm_sizes.items():
        own = integers["norms"][places]
        for name in NORM:
            parts = np.split(arrays[f"norms/{size}/{name}"], np.cumsum(own)[:-1])
            for place, row, part in zip(places, own, parts, strict=True):
                path = layout.base.norm_paths[place]
                bank[f"{path}/row"] = _one(row)
                bank[f"{path}/{name}"] = _after_zero(part)
    bank["head/offset"], bank["head/size"] = _one(1), _one(integers["outputs"][0])
    names = [KERNEL, BIAS]
    if integers["hidden"][0]:
        names += [HIDDEN_KERNEL, HIDDEN_BIAS]
        bank["head/hidden/row"] = _one(1)
    return bank | {name: _after_zero(arrays[name]) for name in names}


def _one(number: Any) -> np.ndarray:
    return np.array([number], np.int32)


def _after_zero(items: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, *items.shape[1:]), items.dtype), items])


def read_file(path: Path) -> bytes:
    """Read a task's file.

    Raises:
        AdapterFileError: if it cannot be read.
    """
    # Reading a named pipe would wait for ever.
    if path.exists() and not path.is_file():
        raise AdapterFileError(f"{str(path)!r} is not a file.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise AdapterFileError(f"{str(path)!r}: {error.strerror}") from error
