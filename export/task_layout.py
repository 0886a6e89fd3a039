"""The arrays and sizes that the files of a base's live tasks hold."""

import dataclasses
import functools
import hashlib
import json
import struct
from typing import Any, NamedTuple

import numpy as np

from adapters_tf.adapters import full_forms
from adapters_tf.errors import UserError
from adapters_tf.export.bank import BankLayout
from adapters_tf.export.task_tensors import NORM

# Heads' sections.
KERNEL, BIAS = "head/kernel", "head/bias"
HIDDEN_KERNEL, HIDDEN_BIAS = "head/hidden/kernel", "head/hidden/bias"


class Section(NamedTuple):
    """One array of a file.

    Attributes:
        name: Its name.
        dtype: Dtype of its numbers.
        shape: Shape of one item; tasks differ in the number of items.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def item_bytes(self) -> int:
        """Size of an item in bytes."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class TaskLayout:
    """The sections and integers of a base's task files.

    Args:
        base: The layout of the base.

    Raises:
        UserError: if the base was exported by a version with other methods.
    """

    base: BankLayout

    def __post_init__(self) -> None:
        if set(self.base.forms) != {form.name for form in full_forms()}:
            raise UserError(
                "Live tasks need a base that was exported by a version of adapters-tf "
                f"with the same methods. Received: a base with {self.base.forms}; "
                "export the base again."
            )

    @functools.cached_property
    def norm_sizes(self) -> dict[int, list[int]]:
        """Size of a LayerNorm -> the places of those in `base.norm_paths`."""
        groups: dict[int, list[int]] = {}
        for place, path in enumerate(self.base.norm_paths):
            size = self.base.norm_sizes.get(path, self.base.hidden_dim)
            groups.setdefault(size, []).append(place)
        return groups

    @functools.cached_property
    def sections(self) -> tuple[Section, ...]:
        """The sections of every file, in their order."""
        d, found = self.base.hidden_dim, []
        for form in full_forms():
            found += [Section(t.name, t.dtype, _sizes(t)) for t in form.once()]
            places = len(form.paths(self.base.block_paths))
            for t in form.at_site(d):
                shape: tuple[int, ...] = ()
                if not t.ragged:
                    fixed = t.unit_axis is None
                    shape = (places, *_sizes(t)) if fixed else _sizes(t)
                found.append(Section(f"{form.name}/{t.name}", t.dtype, shape))
        for size in self.norm_sizes:
            found += [Section(f"norms/{size}/{n}", "float32", (size,)) for n in NORM]
        heads = {KERNEL: (d,), BIAS: (), HIDDEN_KERNEL: (d, d), HIDDEN_BIAS: (d,)}
        return (*found, *(Section(n, "float32", s) for n, s in heads.items()))

    @functools.cached_property
    def integers(self) -> dict[str, int]:
        """Name -> length of the lists of sizes in a description."""
        found = {"norms": len(self.base.norm_paths), "hidden": 1, "outputs": 1}
        for form in full_forms():
            places = len(form.paths(self.base.block_paths))
            found[f"{form.name}/size"] = places
            for t in form.at_site(self.base.hidden_dim):
                if t.ragged:
                    found[f"{form.name}/{t.name}/shape"] = places * len(t.shape)
        return found

    @functools.cached_property
    def number(self) -> int:
        """A number that differs between layouts."""
        parts = [[list(s) for s in self.sections], self.integers, self.base.block_paths]
        text = json.dumps([*parts, self.base.norm_paths])
        return struct.unpack("<q", hashlib.sha256(text.encode()).digest()[:8])[0]


def _sizes(tensor: Any) -> tuple[int, ...]:
    return tuple(size for size in tensor.shape if size is not None)
