"""What differs between two adapters."""

import dataclasses
from typing import Any

import numpy as np

from adapters_tf.models.adapter import Adapter
from adapters_tf.tools.parts import part_of


@dataclasses.dataclass(frozen=True)
class PartDiff:
    """How far one part of two adapters is apart.

    Attributes:
        part: See `part_of`.
        parameters: Number of its parameters.
        largest: Largest absolute difference of two parameters.
        relative: Norm of the difference over the norm of the first one's part;
            infinity where that is 0 and the other is not.
    """

    part: str
    parameters: int
    largest: float
    relative: float


@dataclasses.dataclass(frozen=True)
class AdapterDiff:
    """What differs between two adapters.

    Attributes:
        fields: Name -> the two values, of the fields that differ.
        only_first: Paths of tensors that only the first one has.
        only_second: Those that only the second one has.
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
    """Compare two adapters, of whatever form.

    Args:
        first: One.
        second: The other.
    """
    mine, theirs = first.to_dict(), second.to_dict()
    # Written for other bases than BERT alone; see `Adapter.to_dict`.
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
