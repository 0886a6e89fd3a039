"""Bottleneck adapters of AdapterHub (the library `adapters`) as adapters of ours."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from adapters_tf.convert.adapterhub_config import (
    CONFIG_FILE,
    HubAdapter,
    read_hub_config,
)
from adapters_tf.convert.adapterhub_head import (
    HEAD_CONFIG_FILE,
    check_exactly,
    read_hub_head,
)
from adapters_tf.convert.bert_base import load_bert
from adapters_tf.convert.json_file import read_json
from adapters_tf.convert.new_adapter import make_task, new_model, save_new_adapter
from adapters_tf.convert.tensor_files import read_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.exact_gelu_bert import hidden_activation

WEIGHTS_FILES = ("adapter.safetensors", "pytorch_adapter.bin")
HEAD_WEIGHTS_FILES = ("model_head.safetensors", "pytorch_model_head.bin")
# Names that adapters had in the library's first versions.
_LEGACY = re.compile(r"\.(?:attention|layer)_text_(?:task|lang)_adapters\.")
# Our sub-layer -> where its adapter is in a block there.
SUBLAYER_NAMES = {"attention": "attention.output", "feed_forward": "output"}
# Our variable -> the module there, whose weight is `[out, in]`.
MODULE_NAMES = {"down_projection": "adapter_down.0", "up_projection": "adapter_up"}


def convert_from_adapterhub(
    input_dir: str | os.PathLike[str],
    preset: str,
    output_dir: str | os.PathLike[str],
    *,
    text_columns: Sequence[str] | None = None,
    seq_length: int = 128,
    tanh_gelu: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Write an adapter directory of an AdapterHub adapter with its head.

    That library trains no LayerNorms: the tuning method is `"adapters_only"`.

    Args:
        input_dir: Of `model.save_adapter`, with `adapter_config.json`,
            `pytorch_adapter.bin` or `adapter.safetensors`, and the files of its head.
        preset: The base; see `load_backbone`, or `"demo"`.
        output_dir: The adapter directory.
        text_columns: Names of the task's text columns; see `make_task`.
        seq_length: Longest input, in tokens.
        tanh_gelu: Take a base that computes the tanh form of GELU.
        overwrite: Replace an adapter that is there.
        say: Takes lines on what was decided.

    Raises:
        UserError: if a file is missing or damaged; the adapter or its head computes
            something that this library does not; a tensor is missing, unknown or of
            another shape; the base is of another size or activation; or the directory
            exists or cannot be written.
    """
    folder = Path(input_dir)
    config = read_json(folder / CONFIG_FILE)
    tensors = read_tensors(folder, WEIGHTS_FILES)
    plain = load_bert(preset)
    if plain.adapter is not None:
        raise UserError(
            f"The base must be without adapters. Received: {preset!r}, with some"
        )
    _check_activation(hidden_activation(plain), preset, tanh_gelu)
    d, blocks = plain.hidden_dim, len(plain.encoder_blocks)
    hub = read_hub_config(config, d, blocks)
    if hub.base:
        say(f"Trained on {hub.base!r}, says {CONFIG_FILE}: preset must be that base.")
    if not (folder / HEAD_CONFIG_FILE).is_file():
        raise UserError(
            "An adapter directory holds a task, which has a head. Received: "
            f"{str(folder)!r}, which has no {HEAD_CONFIG_FILE}; save it with its head, "
            "model.save_adapter(directory, name, with_head=True)"
        )
    head = read_hub_head(
        read_json(folder / HEAD_CONFIG_FILE),
        read_tensors(folder, HEAD_WEIGHTS_FILES),
        d,
        plain.dropout,
    )
    values = adapter_values(tensors, hub, d, blocks) | head.tensors
    if hub.dropout:
        say(
            f"Its dropout in training, {hub.dropout} on what adapters add, is not "
            "kept: adapters here have none there."
        )
    task = make_task(hub.name, head.kind, head.labels, text_columns)
    model = new_model(
        task, preset, hub.adapter, head.options, seq_length, "adapters_only"
    )
    save_new_adapter(
        model,
        values,
        task,
        output_dir,
        preset=preset,
        seq_length=seq_length,
        training={"converted_from": "adapterhub", "adapter_config": config},
        overwrite=overwrite,
    )
    say(
        f"{hub.name}: {head.kind.replace('_', ' ')}, bottleneck "
        f"{hub.adapter.bottleneck_dim}, {hub.adapter.activation}, "
        f"{' and '.join(hub.adapter.sublayers)}"
    )


def _check_activation(activation: str, preset: str, tanh_gelu: bool) -> None:
    if activation == "gelu" or tanh_gelu:
        return
    raise UserError(
        "An adapter of AdapterHub belongs to a BERT of Hugging Face, which computes "
        "the exact GELU unless its hidden_act says otherwise. Received: "
        f"{preset!r}, which computes the tanh form; outputs would differ by about "
        "1e-3. Convert that BERT with `adapters-tf-convert huggingface` and give the "
        "result, or pass --tanh_gelu if its hidden_act is gelu_new or the difference "
        "does not matter."
    )


def tensor_names(
    hub: HubAdapter, hidden_dim: int, num_layers: int
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Our variable's path -> its name there without `bert.`, and its shape there."""
    # These adapters' size is never given as a factor.
    m, d = cast(int, hub.adapter.bottleneck_dim), hidden_dim
    names: dict[str, tuple[str, tuple[int, ...]]] = {}
    layers = range(num_layers) if hub.adapter.layers is None else hub.adapter.layers
    for i in layers:
        for sublayer in hub.adapter.sublayers:
            for ours, theirs in MODULE_NAMES.items():
                path = f"transformer_layer_{i}/{sublayer}_adapter/{ours}"
                name = (
                    f"encoder.layer.{i}.{SUBLAYER_NAMES[sublayer]}.adapters.{hub.name}."
                    f"{theirs}"
                )
                shape = (m, d) if ours == "down_projection" else (d, m)
                names[f"{path}/kernel"] = (f"{name}.weight", shape)
                names[f"{path}/bias"] = (f"{name}.bias", shape[:1])
    return names


def adapter_values(
    tensors: dict[str, np.ndarray], hub: HubAdapter, hidden_dim: int, num_layers: int
) -> dict[str, np.ndarray]:
    """The values of our adapters' variables.

    Args:
        tensors: The tensors of the adapter's file.
        hub: What its configuration says.
        hidden_dim: Hidden size of the base.
        num_layers: Number of its blocks.

    Returns:
        Path -> float32 array.

    Raises:
        UserError: if a tensor is missing, unknown or of another shape.
    """
    found = {}
    for name, value in tensors.items():
        plain = _LEGACY.sub(".adapters.", name.removeprefix("bert."))
        if plain in found:
            raise UserError(
                f"The file holds the tensor {plain} twice, under two names."
            )
        found[plain] = value
    wanted = tensor_names(hub, hidden_dim, num_layers)
    check_exactly(found, dict(wanted.values()), "adapter's")
    values = {}
    for path, (name, _) in wanted.items():
        value = found[name]
        if path.endswith("/kernel"):
            value = np.ascontiguousarray(value.T)
        if hub.scaling != 1 and "/up_projection/" in path:
            # Of the whole sum that the up-projection makes, so of kernel and bias.
            value = value * np.float32(hub.scaling)
        values[path] = value
    return values
