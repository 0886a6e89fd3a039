"""Adapters of AdapterHub (the library `adapters`), read and written."""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import safetensors.numpy

from adapters_tf.adapters import AdapterConfig
from adapters_tf.convert.adapterhub_config import (
    CONFIG_FILE,
    HubAdapter,
    read_hub_config,
    write_hub_config,
)
from adapters_tf.convert.adapterhub_heads import (
    HEAD_CONFIG_FILE,
    HEAD_LAYERS,
    Head,
    check_exactly,
    read_hub_head,
    write_hub_head,
)
from adapters_tf.convert.bert import load_bert
from adapters_tf.convert.directories import make_task, new_model, save_new_adapter
from adapters_tf.convert.files import read_json, read_tensors
from adapters_tf.convert.torch_files import write_torch_tensors
from adapters_tf.errors import UserError
from adapters_tf.export.saving import new_directory
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.backbones import hidden_activation
from adapters_tf.models.trainable_set import layer_norm_variables

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
    """Convert an adapter of AdapterHub and its head to an adapter directory.

    The tuning method is `"adapters_only"`, because that library trains no LayerNorms.

    Args:
        input_dir: A directory that `model.save_adapter` wrote, with the head's files.
        preset: The base; see `load_backbone`, or `"demo"`.
        output_dir: The adapter directory.
        text_columns: Names of the task's text columns; see `make_task`.
        seq_length: Longest input, in tokens.
        tanh_gelu: Accept a base that computes the tanh form of GELU.
        overwrite: Replace an adapter in `output_dir`.
        say: Called with a line for each decision.

    Raises:
        UserError: A file is missing or damaged, the adapter or its head computes
            something that this library does not, a tensor is missing, unknown or of
            another shape, the base has another size or activation, or the directory
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
    """Our variables' paths -> AdapterHub's names without `bert.`, and shapes."""
    # `HubAdapter` always has a bottleneck_dim.
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
    """The values of our adapters' variables, from AdapterHub's tensors.

    Args:
        tensors: The tensors of the adapter's file.
        hub: The adapter's configuration.
        hidden_dim: Hidden size of the base.
        num_layers: Number of its blocks.

    Returns:
        Path -> float32 array.

    Raises:
        UserError: A tensor is missing, unknown or of another shape.
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
            # AdapterHub scales the whole output: kernel and bias.
            value = value * np.float32(hub.scaling)
        values[path] = value
    return values


def convert_to_adapterhub(
    adapter_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    preset: str | None = None,
    name: str | None = None,
    model_name: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Convert an adapter directory so that the library `adapters` can load it.

    Tensors are written in both formats: `model.load_adapter` reads the `.bin` files
    unless it is told to use safetensors.

    Args:
        adapter_dir: Our adapter directory.
        output_dir: A new directory.
        preset: The base; by default the one that the adapter names.
        name: The adapter's name in AdapterHub; by default the task's, changed where
            torch's modules use that name themselves.
        model_name: The base's name in the files; by default the preset.
        say: Called with a line for each decision.

    Raises:
        UserError: The adapter trained LayerNorms or has another part that AdapterHub's
            format cannot hold, the base is another one, or the directory exists or
            cannot be written.
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
    check_name(name)
    config = write_hub_config(name, sized, d, blocks, model_name)
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


# The library keeps adapters and heads in torch's `ModuleDict`, which refuses names of
# its own attributes: loading fails with "attribute 'train' already exists". These are
# the attributes of torch 2.13; tests/convert/test_real_library.py compares them.
TAKEN_NAMES = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children clear
    compile cpu cuda double dump_patches eval extra_repr float forward get_buffer
    get_extra_state get_parameter get_submodule half ipu items keys load_state_dict
    modules mtia named_buffers named_children named_modules named_parameters
    parameters pop register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training
    type update values xpu zero_grad
    """.split()
)


def check_name(name: str) -> None:
    """Refuse a name under which the library could not load an adapter.

    Raises:
        UserError: The name is not allowed.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(
            "An adapter's name in AdapterHub's format has letters, digits, _ and -. "
            f"Received: {name!r}; choose another one with name"
        )
    if name.startswith("_") or name in TAKEN_NAMES:
        raise UserError(
            "An adapter's name in AdapterHub's format must not begin with _ or be that "
            "of an attribute of torch's ModuleDict, where the library keeps it. "
            f"Received: {name!r}; choose another one with name, such as "
            f"{_free_name(name)!r}"
        )


def name_of_task(task: str, say: Callable[[str], None]) -> str:
    """The name that an adapter of this task gets in AdapterHub.

    Args:
        task: The task's name.
        say: Called with a line if the name had to change.
    """
    name = re.sub("[^A-Za-z0-9_-]+", "-", task) or "task"
    free = _free_name(name)
    if free != name:
        say(f"Its name there is {free}: torch keeps {name} for itself.")
    return free


def _free_name(name: str) -> str:
    name = name.lstrip("_") or "task"
    return f"{name}-task" if name in TAKEN_NAMES else name
