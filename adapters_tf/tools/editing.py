"""New adapters from trained ones: averages, interpolations, pruned adapters."""

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any, cast

import numpy as np

from adapters_tf.adapters import AdapterMethod
from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter, check_tensors
from adapters_tf.study.ablation import Ablation
from adapters_tf.tools.inspection import block_of

# Fields that adapters must share for their mean to be meaningful.
_SAME = ("kind", "adapter", "tuning", "head", "base_fingerprint", "seq_length")


def average_adapters(
    adapters: Sequence[Adapter], weights: Sequence[float] | None = None
) -> Adapter:
    """Average adapters, such as those of several seeds.

    The mean is computed in float64 and stored in float32. It has no metrics, because
    they are unknown.

    Args:
        adapters: Two or more adapters of one base, form and task.
        weights: A number for each, with a sum of 1; by default all are equal.

    Returns:
        The mean; its other fields are those of the first adapter.

    Raises:
        UserError: There are fewer than two adapters, they differ in base, form, longest
            input, classes or text columns, they hold NaN or infinity, or the weights
            are not finite numbers with a sum of 1.
    """
    if len(adapters) < 2:
        raise UserError(
            f"An average is of two or more adapters. Received: {len(adapters)}"
        )
    weights = [1 / len(adapters)] * len(adapters) if weights is None else list(weights)
    if (
        len(weights) != len(adapters)
        or not all(map(math.isfinite, weights))
        or abs(sum(weights) - 1) > 1e-6
    ):
        raise UserError(
            "weights must be one number for each adapter, with a sum of 1. Received: "
            f"weights={weights} for {len(adapters)} adapters"
        )
    first = adapters[0]
    if first.base_fingerprint is None:
        raise UserError(
            "Adapters that are averaged must be of one base, and say which. Received: "
            "adapters without a base_fingerprint"
        )
    for i, other in enumerate(adapters, 1):
        check_same_form(first, other, f"adapter {i}")
    tensors = {}
    for path in first.tensors:
        values = (a.tensors[path].astype(np.float64) for a in adapters)
        total = sum(w * value for w, value in zip(weights, values, strict=True))
        with np.errstate(over="ignore"):  # checked below
            tensors[path] = np.asarray(total).astype(np.float32)
    runs = [a.training for a in adapters]
    # Keep what all runs share, such as the form of the files, for the model card.
    about = {k: v for k, v in runs[0].items() if all(run.get(k) == v for run in runs)}
    about |= {"averaged": runs, "weights": weights}
    mean = dataclasses.replace(first, tensors=tensors, metrics={}, training=about)
    check_same_form(first, mean, "their mean")
    return mean


def interpolate_adapters(first: Adapter, second: Adapter, share: float) -> Adapter:
    """A point on the line between two adapters; see `average_adapters`.

    Args:
        first: The adapter at `share=0`.
        second: The adapter at `share=1`.
        share: A number from 0 to 1.

    Raises:
        UserError: As for `average_adapters`, or the share is out of range.
    """
    if not 0 <= share <= 1:
        raise UserError(f"share must be from 0 to 1. Received: share={share}")
    return average_adapters([first, second], [1 - share, share])


def check_same_form(first: Adapter, other: Adapter, name: str) -> None:
    """Refuse two adapters whose tensors have different meanings.

    Args:
        first: The first adapter.
        other: The adapter to compare it with.
        name: What the error calls the other adapter.

    Raises:
        UserError: A field differs; the text names the first one.
    """

    def fields(adapter: Adapter) -> dict[str, Any]:
        own = {field: getattr(adapter, field) for field in _SAME}
        labels = list(adapter.task.get("labels", ()))
        return own | {"labels": labels, "text_columns": _columns(adapter)}

    mine, theirs = fields(first), fields(other)
    for field, value in mine.items():
        if theirs[field] != value:
            raise UserError(
                "Adapters that are averaged must be of one base, form and task. "
                f"Received: {name} with {field}={theirs[field]}; the first one has "
                f"{field}={value}"
            )
    shapes = {path: tuple(value.shape) for path, value in first.tensors.items()}
    check_tensors(other.tensors, shapes)


def _columns(adapter: Adapter) -> list[str] | int:
    """The columns in order; of a single one, whose name does not matter, the number."""
    columns = list(adapter.task.get("text_columns", ()))
    return columns if len(columns) > 1 else len(columns)


def adapted_layers(adapter: Adapter) -> tuple[int, ...]:
    """The blocks that have adapters, in order.

    Raises:
        UserError: No block has adapters.
    """
    blocks = sorted({b for b in map(block_of, adapter.tensors) if b is not None})
    if not blocks:
        raise UserError(
            "Only an adapter directory with adapters can be pruned. Received: one of "
            f"tuning={adapter.tuning.method}"
        )
    return tuple(blocks)


def least_important_layers(
    adapter: Adapter, ablation: Ablation, count: int
) -> tuple[int, ...]:
    """The blocks whose adapters change the metric least when each alone is removed.

    Args:
        adapter: The adapter.
        ablation: This adapter's ablation, from `adapters-tf-ablate layers`.
        count: Number of blocks to return.

    Returns:
        The blocks' indices, in order.

    Raises:
        UserError: The ablation is of another task or base or lacks a block, or `count`
            is not from 1 to one less than the blocks with adapters.
    """
    layers = adapted_layers(adapter)
    if ablation.task != adapter.task.get("name"):
        raise UserError(
            "The ablation must be of this adapter. Received: one of the task "
            f"{ablation.task!r} for an adapter of {adapter.task.get('name')!r}"
        )
    if ablation.base_fingerprint not in (None, adapter.base_fingerprint):
        raise UserError(
            "The ablation must be of this adapter. Received: one of "
            f"{ablation.adapter!r}, on the base {ablation.base_fingerprint}, for an "
            f"adapter on {adapter.base_fingerprint}"
        )
    missing = [i for i in layers if (i, i) not in ablation.without]
    if missing:
        raise UserError(
            "The ablation must have each block with an adapter removed alone. "
            f"Received: one of {ablation.num_layers} blocks, without block "
            f"{', '.join(map(str, missing))}"
        )
    if not 1 <= count < len(layers):
        raise UserError(
            f"count must be from 1 to {len(layers) - 1}, as some of the {len(layers)} "
            f"blocks with adapters must remain. Received: count={count}"
        )
    # Of equal losses the lower block goes first, as in the paper.
    lost = {i: ablation.full - ablation.without[i, i] for i in layers}
    return tuple(sorted(sorted(layers, key=lost.__getitem__)[:count]))


def _pruned(adapter: Adapter, kept: tuple[int, ...]) -> AdapterMethod:
    config = cast(AdapterMethod, adapter.adapter)  # `adapted_layers` checked it
    own = config.layer_norm_layers
    if own is None and adapter.tuning.method == "adapters":
        own = adapted_layers(adapter)
    return config.replaced(layers=kept, layer_norm_layers=own)


def prune_adapter(adapter: Adapter, layers: Collection[int]) -> Adapter:
    """Remove the adapters of these blocks: smaller on disk, and faster.

    LayerNorms and the head stay. The result computes what `adapters-tf-ablate` measures
    (Houlsby et al., 2019, section 3.6). It has no metrics, because they are unknown.

    Args:
        adapter: The adapter.
        layers: Indices of blocks with adapters, from 0.

    Raises:
        UserError: A block has no adapters, or none would remain.
    """
    known = adapted_layers(adapter)
    unknown = sorted(set(layers) - set(known))
    kept = tuple(i for i in known if i not in set(layers))
    if unknown or not kept or not layers:
        raise UserError(
            "layers must be some, and not all, of the blocks with adapters, "
            f"{', '.join(map(str, known))}. Received: "
            f"layers={','.join(map(str, layers))}"
        )
    before = adapter.training.get("pruned_layers", ())
    tensors = {
        path: value
        for path, value in adapter.tensors.items()
        if block_of(path) not in set(layers)
    }
    return dataclasses.replace(
        adapter,
        tensors=tensors,
        adapter=_pruned(adapter, kept),
        metrics={},
        training=adapter.training | {"pruned_layers": sorted({*before, *layers})},
    )
