"""What an adapter directory holds, and how two adapters differ."""

import dataclasses
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.errors import AdapterFileError
from adapters_tf.models.adapter import Adapter, check_tensors
from adapters_tf.models.adapter_file import CONFIG_FILE, WEIGHTS_FILE, load_adapter

# ALBERT's one block is its group 0; none was published with more in a group.
_BLOCK = re.compile(
    r"(?:transformer_layer_(\d+)|group_(\d+)_inner_layer_0)"
    r"/(attention|feed_forward)_adapter/"
)


def part_of(path: str) -> str:
    """The part of an adapter that a variable belongs to, for people.

    Args:
        path: The variable's path, such as `transformer_layer_0/attention_adapter/...`.

    Returns:
        `"adapter of block 0, attention"`, `"LayerNorms"`, `"head"` or `"base"`.
    """
    if match := _BLOCK.match(path):
        block, sublayer = match[1] or match[2], match[3].replace("_", "-")
        return f"adapter of block {block}, {sublayer}"
    if path.endswith(("layer_norm/gamma", "layer_norm/beta")):
        return "LayerNorms"
    if path.startswith(("logits/", "head_hidden/")):
        return "head"
    return "base"


def block_of(path: str) -> int | None:
    """The block whose adapter a variable belongs to; `None` for other variables."""
    match = _BLOCK.match(path)
    return int(match[1] or match[2]) if match else None


@dataclasses.dataclass(frozen=True)
class FileSummary:
    """Size in bytes and SHA-256 of a file."""

    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class AdapterSummary:
    """The contents of an adapter directory.

    Its tensors are finite and unchanged since they were saved. The other fields have no
    checksum: anybody can edit them.

    Attributes:
        directory: Path of the directory.
        fields: All fields of `Adapter` but the tensors, as JSON values.
        parts: Part (see `part_of`) -> number of parameters, in the tensors' order.
        shapes: Path -> shape of the tensors.
        files: File name -> size and checksum.
    """

    directory: str
    fields: dict[str, Any]
    parts: dict[str, int]
    shapes: dict[str, tuple[int, ...]]
    files: dict[str, FileSummary]

    @property
    def parameters(self) -> int:
        """The number of all parameters."""
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return dataclasses.asdict(self) | {"parameters": self.parameters}


def inspect_adapter(directory: str | os.PathLike[str]) -> AdapterSummary:
    """Read an adapter directory and summarize it, without loading its base.

    Args:
        directory: An adapter directory.

    Raises:
        AdapterFileError: The directory is not an adapter directory, is damaged or holds
            NaN. If it contains adapter directories, as a run's directory does, the
            error names them.
    """
    path = Path(directory)
    if not (path / CONFIG_FILE).is_file() and path.is_dir():
        inside = sorted(str(p.parent) for p in path.glob(f"*/{CONFIG_FILE}"))
        if inside:
            raise AdapterFileError(
                f"An adapter directory holds {CONFIG_FILE}. Received: {str(path)!r}, "
                f"which does not; inside of it are {', '.join(inside[:5])}"
            )
    adapter = load_adapter(path)
    shapes = {k: tuple(v.shape) for k, v in sorted(adapter.tensors.items())}
    check_tensors(adapter.tensors, shapes)  # for NaN and infinity
    parts: dict[str, int] = {}
    for tensor_path in sorted(adapter.tensors):
        name = part_of(tensor_path)
        parts[name] = parts.get(name, 0) + adapter.tensors[tensor_path].size
    files = {}
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        data = (path / name).read_bytes()
        files[name] = FileSummary(len(data), hashlib.sha256(data).hexdigest())
    return AdapterSummary(
        str(path),
        adapter.to_dict(),
        parts,
        shapes,
        files,
    )


@dataclasses.dataclass(frozen=True)
class PartDiff:
    """How far two adapters differ in one part.

    Attributes:
        part: See `part_of`.
        parameters: Number of its parameters.
        largest: Largest absolute difference of two parameters.
        relative: Norm of the difference over the norm of the first adapter's part;
            infinity if only the first one's is 0.
    """

    part: str
    parameters: int
    largest: float
    relative: float


@dataclasses.dataclass(frozen=True)
class AdapterDiff:
    """What differs between two adapters.

    Attributes:
        fields: Name -> the two values, for each field that differs.
        only_first: Paths of tensors that only the first adapter has.
        only_second: Paths of tensors that only the second adapter has.
        misshapen: Path -> the two shapes, where they differ.
        parts: The parts that both have, in the order of the first one's tensors.
    """

    fields: dict[str, tuple[Any, Any]]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    misshapen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    parts: tuple[PartDiff, ...]

    @property
    def same_tensors(self) -> bool:
        """Whether the tensors are equal to the bit."""
        return not (self.only_first or self.only_second or self.misshapen) and all(
            part.largest == 0 for part in self.parts
        )


def diff_adapters(first: Adapter, second: Adapter) -> AdapterDiff:
    """Compare two adapters of any form.

    Args:
        first: The first adapter.
        second: The second adapter.
    """
    mine, theirs = first.to_dict(), second.to_dict()
    # `Adapter.to_dict` has this field for other bases than BERT only.
    mine["backbone"], theirs["backbone"] = first.backbone, second.backbone
    fields = {k: (mine[k], theirs[k]) for k in mine if mine[k] != theirs[k]}
    one, other = first.tensors, second.tensors
    both = [path for path in one if path in other]
    misshapen = {
        path: (one[path].shape, other[path].shape)
        for path in both
        if one[path].shape != other[path].shape
    }
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for path in both:
        if path not in misshapen:
            pair = one[path].astype(np.float64), other[path].astype(np.float64)
            parts.setdefault(part_of(path), []).append(pair)
    return AdapterDiff(
        fields,
        tuple(sorted(set(one) - set(other))),
        tuple(sorted(set(other) - set(one))),
        misshapen,
        tuple(_part(name, pairs) for name, pairs in parts.items()),
    )


def _part(name: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> PartDiff:
    a = np.concatenate([one.ravel() for one, _ in pairs])
    b = np.concatenate([other.ravel() for _, other in pairs])
    distance, norm = np.linalg.norm(b - a), np.linalg.norm(a)
    relative = distance / norm if norm else (np.inf if distance else 0.0)
    return PartDiff(name, a.size, float(np.abs(b - a).max()), float(relative))
