"""Adapters of ours in the format of AdapterHub (the library `adapters`)."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy

from adapters_tf.adapters import AdapterConfig
from adapters_tf.convert.adapterhub_config import (
    CONFIG_FILE,
    HubAdapter,
    write_hub_config,
)
from adapters_tf.convert.adapterhub_head import (
    HEAD_CONFIG_FILE,
    HEAD_LAYERS,
    Head,
    write_hub_head,
)
from adapters_tf.convert.adapterhub_name import name_of_task
from adapters_tf.convert.bert_base import load_bert
from adapters_tf.convert.from_adapterhub import (
    HEAD_WEIGHTS_FILES,
    WEIGHTS_FILES,
    tensor_names,
)
from adapters_tf.convert.torch_writer import write_torch_tensors
from adapters_tf.errors import UserError
from adapters_tf.export.directories import new_directory
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.exact_gelu_bert import hidden_activation
from adapters_tf.models.trainable_set import layer_norm_variables


def convert_to_adapterhub(
    adapter_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    preset: str | None = None,
    name: str | None = None,
    model_name: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Write an adapter directory so that `model.load_adapter` of `adapters` reads it.

    With both files of each kind: the library looks for the `.bin` unless it is told
    to use safetensors.

    Args:
        adapter_dir: Our adapter directory.
        output_dir: A new directory.
        preset: The base; by default where the adapter's was loaded from.
        name: The adapter's name there; by default made of the task's, and another
            one where that is a name that torch's modules have in use.
        model_name: What the files shall call the base; by default the preset.
        say: Takes lines on what was decided.

    Raises:
        UserError: if the adapter has LayerNorms of its own, or another part that
            AdapterHub's format has no place for; the base is another one; or the
            directory exists or cannot be written.
    """
    adapter = load_adapter(adapter_dir)
    own = adapter.adapter
    if not adapter.tuning.has_adapters or own is None:
        raise UserError(
            "AdapterHub's format has adapters and a head, so the tuning method must be "
            f"adapters_only. Received: tuning={adapter.tuning.method}"
        )
    if not isinstance(own, AdapterConfig):
        raise UserError(
            "Only bottleneck adapters are written in AdapterHub's format. Received: "
            f"adapters of the method {own.name!r}"
        )
    preset = preset or adapter.preset
    if preset is None:
        raise UserError(
            f"The adapter in {str(adapter_dir)!r} does not say where its base is; give "
            "preset."
        )
    base = load_bert(preset)
    if base.fingerprint != adapter.base_fingerprint:
        raise UserError(
            "The base must be the one that the adapter was trained on, "
            f"{adapter.base_fingerprint}. Received: {preset!r}, {base.fingerprint}"
        )
    _check_layer_norms(adapter, base)
    name = name or name_of_task(str(adapter.task.get("name", "task")), say)
    model_name = model_name or preset
    d, blocks = base.hidden_dim, len(base.encoder_blocks)
    units = own.units(d)
    sized = dataclasses.replace(own, bottleneck_dim=units, reduction_factor=None)
    config = write_hub_config(name, own, units, d, blocks, model_name)
    tensors = _adapter_tensors(adapter, sized, name, d, blocks)
    labels = tuple(adapter.task.get("labels", ()))
    values = {k: v for k, v in adapter.tensors.items() if k.startswith(HEAD_LAYERS)}
    head = Head(adapter.kind, adapter.head, labels, values)
    head_config, head_tensors = write_hub_head(name, head, d, model_name)
    with new_directory(output_dir) as directory:
        for file, value in ((CONFIG_FILE, config), (HEAD_CONFIG_FILE, head_config)):
            text = json.dumps(value, indent=2, sort_keys=True) + "\n"
            (directory / file).write_text(text, encoding="utf-8")
        _write(tensors, directory, WEIGHTS_FILES)
        _write(head_tensors, directory, HEAD_WEIGHTS_FILES)
    if own.dropout:
        say("Dropout inside the adapters is not kept: there it is on what they add.")
    if hidden_activation(base) == "gelu_tanh":
        say(
            "The base computes the tanh form of GELU. For the same outputs load it "
            "there with from_pretrained(..., hidden_act='gelu_new')."
        )


def _check_layer_norms(adapter: Adapter, base: AdapterBackbone) -> None:
    changed = [
        v.path
        for v in layer_norm_variables(base)
        if v.path in adapter.tensors
        and not np.array_equal(adapter.tensors[v.path], v.numpy())
    ]
    if changed:
        raise UserError(
            "AdapterHub's format has no place for LayerNorms of a task: there they are "
            f"the base's. Received: an adapter that trained {len(changed)} parameters "
            f"of LayerNorms of its own, such as {changed[0]}; train it with "
            "tuning=adapters_only, which leaves them as they are."
        )


def _adapter_tensors(
    adapter: Adapter, sized: AdapterConfig, name: str, hidden_dim: int, num_layers: int
) -> dict[str, np.ndarray]:
    names = tensor_names(HubAdapter(name, sized), hidden_dim, num_layers)
    tensors = {}
    for path, (their_name, _) in names.items():
        value = adapter.tensors[path]
        value = value.T if path.endswith("/kernel") else value
        tensors[f"bert.{their_name}"] = np.ascontiguousarray(value)
    return tensors


def _write(
    tensors: dict[str, np.ndarray], directory: Path, files: tuple[str, str]
) -> None:
    safetensors.numpy.save_file(tensors, directory / files[0])
    write_torch_tensors(tensors, directory / files[1])
