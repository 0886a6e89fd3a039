"""Trained adapters without those of some blocks, smaller on disk and faster.

Houlsby et al. (2019), section 3.6: those of the lower blocks matter least.
"""

import dataclasses
from collections.abc import Collection
from typing import cast

from adapters_tf.adapters import AdapterMethod
from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter
from adapters_tf.report.ablation import Ablation
from adapters_tf.tools.parts import block_of


def adapted_layers(adapter: Adapter) -> tuple[int, ...]:
    """The blocks that have adapters, in order.

    Raises:
        UserError: if there is none.
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
        ablation: Of this adapter: a file of `adapters-tf-ablate layers`.
        count: How many.

    Returns:
        Their indices, in order.

    Raises:
        UserError: if the ablation is of another task or base, lacks a block, or the
            count is not from 1 to one less than the blocks with adapters.
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
    # What is lost without it; of equal ones the lower block, as in the paper.
    lost = {i: ablation.full - ablation.without[i, i] for i in layers}
    return tuple(sorted(sorted(layers, key=lost.__getitem__)[:count]))


def _pruned(adapter: Adapter, kept: tuple[int, ...]) -> AdapterMethod:
    config = cast(AdapterMethod, adapter.adapter)  # `adapted_layers` saw to it
    own = config.layer_norm_layers
    if own is None and adapter.tuning.method == "adapters":
        own = adapted_layers(adapter)
    return config.replaced(layers=kept, layer_norm_layers=own)


def prune_adapter(adapter: Adapter, layers: Collection[int]) -> Adapter:
    """The adapter without the adapters of these blocks.

    LayerNorms and the head stay. It computes what `adapters-tf-ablate` measures; its
    metrics are not known from training, and are left out.

    Args:
        adapter: The adapter.
        layers: Blocks, from 0, that have adapters.

    Raises:
        UserError: if one of them has none, or none would remain.
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
