"""Many tasks' tensors in few arrays, without padding."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters_tf.export.task_tensors import DOWN, NORM, UP
from adapters_tf.tasks.text_kind import BIAS, KERNEL


@dataclasses.dataclass(frozen=True)
class ExportedTask:
    """A task as a servable holds it.

    Attributes:
        config: What the adapter SavedModel's `config()` says.
        encoder: What its `weights()` gives, as arrays.
        head: What its `head_weights()` gives, as arrays.
    """

    config: dict[str, Any]
    encoder: dict[str, np.ndarray]
    head: dict[str, np.ndarray]

    @classmethod
    def from_saved_model(cls, config: dict[str, Any], adapter: Any) -> "ExportedTask":
        """A task out of a loaded adapter SavedModel."""
        encoder = {k: v.numpy() for k, v in adapter.weights().items()}
        head = {k: v.numpy() for k, v in adapter.head_weights().items()}
        return cls(config, encoder, head)


def build_bank(
    tasks: list[ExportedTask],
    paths: list[str],
    norm_paths: list[str],
    d: int,
    norm_sizes: Mapping[str, int] = types.MappingProxyType({}),
) -> dict[str, np.ndarray]:
    """Join tasks: the units of all bottlenecks stand in one array, end to end.

    So a task costs its own units and no more, whatever the others' sizes. Unit 0
    and LayerNorm 0 are zeros that belong to no task.

    Args:
        tasks: T tasks of one base.
        paths: Paths of the base's adapters.
        norm_paths: Paths of its LayerNorms.
        d: Hidden size.
        norm_sizes: The size of each LayerNorm that is of another one.

    Returns:
        See `BaseFunctions.bank_specs`: for each adapter `[1 + units, d]` kernels
        and `[1 + units]` biases with each task's `offset` and `size` `[T]`, the
        up biases `[T, d]`; for each LayerNorm `[1 + own, d]` with each task's
        `row` `[T]`, 0 for the base's. And for the heads, named
        `head/...`, the same of `[1 + outputs, d]`.
    """
    if not tasks:
        raise ValueError("A bank holds at least one task.")
    bank: dict[str, np.ndarray] = {}
    for path in paths:
        encoders = [task.encoder for task in tasks]
        kernels = [e[f"{path}/{DOWN}/kernel"].T for e in encoders]
        bank |= _spans(path, [len(k) for k in kernels])
        bank[f"{path}/{DOWN}/kernel"] = _stack(kernels, (d,))
        bank[f"{path}/{DOWN}/bias"] = _stack(
            [e[f"{path}/{DOWN}/bias"] for e in encoders], ()
        )
        bank[f"{path}/{UP}/kernel"] = _stack(
            [e[f"{path}/{UP}/kernel"] for e in encoders], (d,)
        )
        bank[f"{path}/{UP}/bias"] = np.stack([e[f"{path}/{UP}/bias"] for e in encoders])
    for path in norm_paths:
        # Blocks without an adapter keep the base's LayerNorms.
        own = [task.encoder[f"{path}/{NORM[0]}"].size > 0 for task in tasks]
        bank[f"{path}/row"] = np.where(own, np.cumsum(own), 0).astype(np.int32)
        size = norm_sizes.get(path, d)
        for name in NORM:
            rows = [task.encoder[f"{path}/{name}"].reshape(-1, size) for task in tasks]
            bank[f"{path}/{name}"] = _stack(rows, (size,))
    bank["activation"] = np.array([t.encoder["activation"] for t in tasks], np.int32)
    bank["fingerprint"] = tasks[0].encoder["fingerprint"]
    kernels = [task.head[KERNEL].T for task in tasks]
    bank |= _spans("head", [len(k) for k in kernels])
    bank["head/kernel"] = _stack(kernels, (d,))
    bank["head/bias"] = _stack([task.head[BIAS] for task in tasks], ())
    return bank


def split_bank(
    bank: dict[str, np.ndarray],
    configs: list[dict[str, Any]],
    paths: list[str],
    norm_paths: list[str],
) -> list[ExportedTask]:
    """The tasks that `build_bank` joined, to the bit.

    Args:
        bank: From `build_bank`.
        configs: The T tasks' configs.
        paths: As there.
        norm_paths: As there.
    """
    tasks = []
    for i, config in enumerate(configs):
        encoder = {
            "activation": bank["activation"][i],
            "fingerprint": bank["fingerprint"],
        }
        for path in paths:
            units = _span(bank, path, i)
            encoder[f"{path}/{DOWN}/kernel"] = bank[f"{path}/{DOWN}/kernel"][units].T
            encoder[f"{path}/{DOWN}/bias"] = bank[f"{path}/{DOWN}/bias"][units]
            encoder[f"{path}/{UP}/kernel"] = bank[f"{path}/{UP}/kernel"][units]
            encoder[f"{path}/{UP}/bias"] = bank[f"{path}/{UP}/bias"][i]
        for path in norm_paths:
            row = int(bank[f"{path}/row"][i])
            for name in NORM:
                rows = bank[f"{path}/{name}"]
                encoder[f"{path}/{name}"] = rows[row : row + min(row, 1)].reshape(-1)
        outputs = _span(bank, "head", i)
        head = {
            KERNEL: bank["head/kernel"][outputs].T,
            BIAS: bank["head/bias"][outputs],
        }
        tasks.append(ExportedTask(config, encoder, head))
    return tasks


def _spans(path: str, sizes: list[int]) -> dict[str, np.ndarray]:
    ends = np.cumsum(sizes)
    return {
        f"{path}/offset": (1 + ends - sizes).astype(np.int32),
        f"{path}/size": np.array(sizes, np.int32),
    }


def _span(bank: dict[str, np.ndarray], path: str, task: int) -> slice:
    start = int(bank[f"{path}/offset"][task])
    return slice(start, start + int(bank[f"{path}/size"][task]))


def _stack(parts: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.zeros((1, *shape), np.float32), *parts])
