"""Write the adapter SavedModel: one task's tensors and head."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from adapters_tf.adapters import form_of
from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export.bank import BankLayout, ExportedTask, absent_adapters
from adapters_tf.export.base_functions import fingerprint_words, hub_outputs
from adapters_tf.export.combine import check_same_base, load_exported
from adapters_tf.export.saving import (
    FORMAT_VERSION,
    constant_function,
    graph_function,
    new_directory,
)
from adapters_tf.export.self_check import SAMPLE_PAIRS, SAMPLE_TEXTS, Case, check_export
from adapters_tf.export.task_tensors import NORM
from adapters_tf.models.adapter import Adapter, check_exportable, check_tensors
from adapters_tf.models.adapter_file import CONFIG_FILE, load_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.build import load_model
from adapters_tf.tasks.kinds import kind_named


def export_adapter(
    adapter_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    preset: str | None = None,
) -> None:
    """Write the adapter SavedModel of a trained adapter directory.

    A new process compares it with the Keras model before it gets its final name.

    Args:
        adapter_dir: Written by `save_adapter`, such as a run's `adapter/`.
        output_dir: A new directory.
        preset: Where to load the base from; by default the preset used in training.

    Raises:
        UserError: if exports do not support the adapter (see `check_exportable`), it
            does not fit the base, the directory exists or cannot be written, or the
            written model differs.
    """
    require_tensorflow_backend("export_adapter")
    adapter = load_adapter(adapter_dir)
    check_exportable(adapter)
    with new_directory(output_dir) as directory:
        preset = resolve_preset(preset or adapter.preset)
        model = load_model(adapter_dir, preset, dtype="float32")
        save_adapter_model(adapter, model, directory)
        check_export(directory, _cases(model))


def task_shapes(adapter: Adapter, layout: BankLayout) -> dict[str, tuple[int, ...]]:
    """Return path -> shape of each tensor that a task of this form has.

    Args:
        adapter: The task; its tensors are not read.
        layout: The layout of its base.

    Raises:
        AdapterFileError: if it has adapters in blocks that the base lacks.
    """
    shapes = kind_named(adapter.kind).head_shapes(adapter.head, layout.hidden_dim)
    blocks = layout.block_paths
    own_norms: Collection[int] = ()
    if adapter.tuning.method == "layer_norm":
        own_norms = range(len(blocks))
    if adapter.adapter is not None:
        try:
            config = adapter.adapter.for_blocks(len(blocks))
        except ValueError as error:
            raise AdapterFileError(f"The adapter is not usable: {error}") from error
        of_block = config.variable_shapes(layout.hidden_dim)
        for index, block in enumerate(blocks):
            if config.adapts(index):
                shapes |= {f"{block}/{path}": shape for path, shape in of_block.items()}
        if adapter.tuning.method == "adapters":
            own_norms = config.own_layer_norms(len(blocks))
    for path in layout.norm_paths:
        # The embeddings' LayerNorm belongs to the first block.
        index = next((i for i, b in enumerate(blocks) if path.startswith(f"{b}/")), 0)
        if index in own_norms:
            size = layout.norm_sizes.get(path, layout.hidden_dim)
            shapes |= {f"{path}/{name}": (size,) for name in NORM}
    return shapes


def encoder_tensors(adapter: Adapter, layout: BankLayout) -> dict[str, np.ndarray]:
    """Return the task's trainable tensors for `encode`, by path.

    Args:
        adapter: The adapter.
        layout: The layout of its base.

    Returns:
        The tensors of `BaseFunctions.adapter_specs` that are not constants.
    """
    form = form_of(adapter.adapter)
    tensors: dict[str, np.ndarray] = {}
    for path in form.paths(layout.block_paths):
        tensors |= form.site_values(adapter.tensors, path, layout.hidden_dim)
    for path in layout.norm_paths:
        for name in NORM:
            empty = np.zeros(0, np.float32)
            tensors[f"{path}/{name}"] = adapter.tensors.get(f"{path}/{name}", empty)
    return tensors


def task_of_adapter(adapter: Adapter, layout: BankLayout) -> ExportedTask:
    """Build a servable's task from an adapter.

    It equals the task read from the adapter SavedModel.

    Args:
        adapter: The adapter, in a form that exports support.
        layout: The layout of its base.

    Raises:
        AdapterFileError: if its tensors are not exactly those of its form on this base.
    """
    check_tensors(adapter.tensors, task_shapes(adapter, layout))
    config = json.loads(json.dumps(exported_config(adapter)))
    encoder = encoder_tensors(adapter, layout) | _constants(adapter)
    shapes = kind_named(adapter.kind).head_shapes(adapter.head, layout.hidden_dim)
    head = {path: adapter.tensors[path] for path in shapes}
    return ExportedTask(config, encoder, head)


def save_adapter_model(adapter: Adapter, model: AdapterModel, directory: Path) -> None:
    """Write the SavedModel without checking it.

    Args:
        adapter: The adapter.
        model: Its model; the backbone defines the possible sites of adapters.
        directory: Where to write.
    """
    layout = BankLayout.of_backbone(model.backbone)
    tensors = encoder_tensors(adapter, layout)
    encoder = {name: tf.Variable(value) for name, value in tensors.items()}
    head = {
        v.path: tf.Variable(adapter.tensors[v.path]) for v in model.head_variables()
    }
    root = tf.train.Checkpoint()
    root.variables = [*encoder.values(), *head.values()]
    # Give optimizers only tensors that are not empty and were trained.
    d = layout.hidden_dim
    absent = absent_adapters(exported_config(adapter), tensors, layout.block_paths, d)
    root.trainable_variables = [
        *(v for k, v in encoder.items() if 0 not in v.shape and k not in absent),
        *head.values(),
    ]
    root.regularization_losses = []
    constants = {k: tf.constant(v) for k, v in _constants(adapter).items()}

    def values(variables: dict[str, Any]) -> dict[str, Any]:
        return {name: tf.identity(v) for name, v in variables.items()}

    root.weights = graph_function(
        lambda: values(encoder) | constants, input_signature=[]
    )
    root.head_weights = graph_function(lambda: values(head), input_signature=[])
    compute = kind_named(adapter.kind).head_function(adapter.head)
    outputs_spec = {
        "sequence_output": tf.TensorSpec([None, None, d], tf.float32),
        "pooled_output": tf.TensorSpec([None, d], tf.float32),
        "input_mask": tf.TensorSpec([None, None], tf.int32),
    }
    head_spec = {name: tf.TensorSpec(v.shape, tf.float32) for name, v in head.items()}
    root.apply_head = graph_function(compute, input_signature=[outputs_spec, head_spec])
    root.head = graph_function(
        lambda outputs: compute(outputs, values(head)), input_signature=[outputs_spec]
    )
    root.config = constant_function(
        json.dumps(exported_config(adapter), sort_keys=True)
    )
    root.base_fingerprint = constant_function(adapter.base_fingerprint)
    labels = list(adapter.task.get("labels", ()))
    root.labels = constant_function(tf.constant(labels, tf.string))
    tf.saved_model.save(root, str(directory))


def _constants(adapter: Adapter) -> dict[str, Any]:
    options = form_of(adapter.adapter).option_values(adapter.adapter)
    return options | {"fingerprint": fingerprint_words(adapter.base_fingerprint)}


def exported_config(adapter: Adapter) -> dict[str, Any]:
    """Return the SavedModel's `config()` as JSON values."""
    return adapter.to_dict() | {"format_version": FORMAT_VERSION}


# === A task of a servable ===


def check_is_task(path: str | os.PathLike[str]) -> None:
    """Reject a path that holds no task, before a base is loaded.

    Args:
        path: An adapter directory or an adapter SavedModel.

    Raises:
        UserError: if it is neither, the adapter directory is damaged, or exports do not
            support the adapter (see `check_exportable`).
    """
    if _is_adapter_directory(path):
        check_exportable(load_adapter(path))
    elif not os.path.isfile(os.path.join(path, "saved_model.pb")):
        raise UserError(
            "A task of a servable is an adapter directory, such as that of "
            "adapters-tf-train, or an adapter SavedModel, from adapters-tf-export "
            f"adapter. Received: {os.fspath(path)!r}, which has no {CONFIG_FILE} and "
            "no saved_model.pb."
        )


class BaseOfTasks(Protocol):
    """What `read_task` needs to know about a base.

    Attributes:
        fingerprint: Its `base_fingerprint`.
        layout: Its layout.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def layout(self) -> BankLayout: ...


def read_task(base: BaseOfTasks, path: str | os.PathLike[str]) -> ExportedTask:
    """Read a task for a base, without loading the base.

    Args:
        base: The servable's base.
        path: An adapter directory or an adapter SavedModel.

    Raises:
        UserError: see `check_is_task`.
        AdapterFileError: if the adapter is for another base, or its tensors are not
            exactly those of its form.
    """
    name = f"The one in {os.fspath(path)!r}"
    check_is_task(path)
    if _is_adapter_directory(path):
        adapter = load_adapter(path)
        check_same_base(base.fingerprint, adapter.base_fingerprint, name)
        return task_of_adapter(adapter, base.layout)
    saved_model = load_exported(path, "adapter")
    other = saved_model.base_fingerprint().numpy().decode()
    check_same_base(base.fingerprint, other, name)
    config = json.loads(saved_model.config().numpy())
    return ExportedTask.from_saved_model(config, saved_model)


def _is_adapter_directory(path: str | os.PathLike[str]) -> bool:
    return os.path.isfile(os.path.join(path, CONFIG_FILE))


# === Checking the SavedModel ===


def _cases(model: AdapterModel) -> list[Case]:
    tokens = preprocess_texts(
        model.preprocessor, (tf.constant(SAMPLE_TEXTS), tf.constant(SAMPLE_PAIRS))
    )
    outputs = hub_outputs(model.backbone(tokens, training=False))
    arrays = {name: np.asarray(outputs[name]) for name in outputs}
    arrays["input_mask"] = np.asarray(tokens["padding_mask"], np.int32)
    logits = np.array(model(tokens, training=False))
    if logits.ndim == 3:
        # Logits of padding are about -1e9, so float32 rounding differs.
        logits[arrays["input_mask"] == 0] = np.nan
    head = {v.path for v in model.head_variables()}
    layout = BankLayout.of_backbone(model.backbone)
    trained = encoder_tensors(model.get_adapter(), layout)
    weights = {
        name: value
        for name, value in trained.items()
        if value.size and name not in head
    }
    return [
        Case("head", arrays, {"": logits}),
        Case("weights", None, weights),
    ]
