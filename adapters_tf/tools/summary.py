"""What an adapter directory holds."""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

from adapters_tf.errors import AdapterFileError
from adapters_tf.models.adapter import check_tensors
from adapters_tf.models.adapter_file import CONFIG_FILE, WEIGHTS_FILE, load_adapter
from adapters_tf.tools.parts import part_of


@dataclasses.dataclass(frozen=True)
class FileSummary:
    """A file of a directory: its size in bytes, and its SHA-256."""

    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class AdapterSummary:
    """An adapter directory that was read whole.

    Its tensors are finite, and those that were saved. Nothing vouches for the other
    fields, which anybody can edit.

    Attributes:
        directory: Where it is.
        fields: All fields of `Adapter` but the tensors, as JSON values.
        parts: Part (see `part_of`) -> number of parameters, in the tensors' order.
        shapes: Path -> shape of the tensors.
        files: Name -> summary of its files.
    """

    directory: str
    fields: dict[str, Any]
    parts: dict[str, int]
    shapes: dict[str, tuple[int, ...]]
    files: dict[str, FileSummary]

    @property
    def parameters(self) -> int:
        """Number of all parameters."""
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return dataclasses.asdict(self) | {"parameters": self.parameters}


def inspect_adapter(directory: str | os.PathLike[str]) -> AdapterSummary:
    """Read an adapter directory and say what it holds; its base is not loaded.

    Args:
        directory: An adapter directory.

    Raises:
        AdapterFileError: if it is not one, it is damaged, or holds NaN. Where one is
            inside, such as in the directory of a run, the error names it.
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
