"""Trained adapters removed span by span, as in figure 6 of the paper."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from adapters_tf.data.examples import Rows
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.tasks.metrics import majority_baseline
from adapters_tf.training.predict_texts import LoadedAdapter


@contextlib.contextmanager
def removed_adapters(model: AdapterModel, first: int, last: int) -> Iterator[None]:
    """Within it, the adapters of these encoder blocks pass their input on unchanged.

    LayerNorms and the head stay as trained. The model is the same one and nothing is
    traced anew: the variables that make an adapter change something are set to zeros.

    Args:
        model: A model with adapters.
        first: Index of the first block, from 0.
        last: Index of the last one.
    """
    variables = [
        variable
        for block in model.backbone.encoder_blocks[first : last + 1]
        for layer in block.adapter_layers().values()
        for variable in model.backbone.adapter.neutral_variables(layer)
    ]
    kept = [v.numpy() for v in variables]
    try:
        for variable in variables:
            variable.assign(tf.zeros_like(variable.value))
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def ablate_layers(
    directory: str | os.PathLike[str],
    rows: Rows,
    preset: str | None = None,
    batch_size: int = 64,
    on_span: Callable[[dict[str, Any]], None] = lambda span: None,
) -> dict[str, Any]:
    """The metrics without the adapters of each continuous span of blocks.

    Houlsby et al. (2019), section 3.6: nothing is trained again.

    Args:
        directory: An adapter directory of tuning method `"adapters"`.
        rows: Labelled rows to evaluate on.
        preset: The base, if not where training loaded it.
        batch_size: Rows at a time.
        on_span: Called with each entry of `spans` once it is known.

    Returns:
        JSON values: `task`, `metric` (the first one), `num_layers`, `adapter` (the
        directory), `base_fingerprint`, `dev_rows`, `majority_baseline` (of the best
        answer that ignores the rows, on these rows), `full` (the metrics with all
        adapters) and `spans`: for each `first` <= `last` the metrics `dev` without the
        adapters from block `first` to block `last`.

    Raises:
        AdapterFileError: The directory cannot be used.
        UserError: It has no adapters.
    """
    loaded = LoadedAdapter(directory, preset, batch_size)
    model = loaded.model
    if not model.tuning.has_adapters:
        raise UserError(
            "Only a directory that was trained with tuning='adapters' or "
            "'adapters_only' has adapters to remove. Received: "
            f"{str(directory)!r}, of tuning={model.tuning.method!r}"
        )
    prepared = loaded.prepare(rows)
    full = loaded.evaluate(prepared).metrics
    blocks = len(model.backbone.encoder_blocks)
    references = rows.references
    spans = []
    for first in range(blocks):
        for last in range(first, blocks):
            with removed_adapters(model, first, last):
                metrics = loaded.evaluate(prepared).metrics
            spans.append({"first": first, "last": last, "dev": metrics})
            on_span(spans[-1])
    return {
        "kind": "layer_ablation",
        "task": loaded.task.name,
        "metric": next(iter(full)),
        "num_layers": blocks,
        "adapter": str(Path(directory)),
        "base_fingerprint": model.get_config_of_adapter()["base_fingerprint"],
        "dev_rows": len(rows),
        "majority_baseline": majority_baseline(loaded.task, references, references),
        "full": full,
        "spans": spans,
    }
