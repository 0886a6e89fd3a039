"""The adapter SavedModel: what one task adds to a base."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.export.activations import activation_code
from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.base_functions import hub_outputs
from adapters_tf.export.directories import new_directory
from adapters_tf.export.fingerprints import fingerprint_words
from adapters_tf.export.heads import head_function
from adapters_tf.export.sample_texts import SAMPLE_PAIRS, SAMPLE_TEXTS
from adapters_tf.export.saving import FORMAT_VERSION, constant_function
from adapters_tf.export.self_check import Case, check_export
from adapters_tf.export.task_tensors import DOWN, UP
from adapters_tf.layers.adapter_config import SUBLAYERS
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.build import load_model
from adapters_tf.models.exportable import check_exportable
from adapters_tf.models.presets import preprocess_texts
from adapters_tf.models.trainable_set import layer_norm_variables


def export_adapter(
    adapter_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    preset: str | None = None,
) -> None:
    """Write the adapter SavedModel of a trained adapter directory.

    It is compared with the Keras model in a new process before it gets its
    name.

    Args:
        adapter_dir: Written by `save_adapter`, such as a run's `adapter/`.
        output_dir: A new directory.
        preset: Where to load the base from; by default from where training
            loaded it.

    Raises:
        UserError: if the adapter is of a form that exports do not have (see
            `check_exportable`), does not fit the base, or the directory exists
            or cannot be written, or the written model differs.
    """
    require_tensorflow_backend("export_adapter")
    adapter = load_adapter(adapter_dir)
    check_exportable(adapter)
    with new_directory(output_dir) as directory:
        preset = resolve_preset(preset or adapter.preset)
        model = load_model(adapter_dir, preset, dtype="float32")
        save_adapter_model(adapter, model, directory)
        check_export(directory, _cases(model))


def encoder_tensors(adapter: Adapter, model: AdapterModel) -> dict[str, np.ndarray]:
    """The task's tensors for `encode`: see `BaseFunctions.adapter_specs`."""
    backbone = model.backbone
    d = backbone.hidden_dim
    own = adapter.tensors
    tensors = {}
    for block in backbone.encoder_blocks:
        for sublayer in SUBLAYERS:
            path = f"{block.path}/{sublayer}_adapter"
            empty = {
                f"{path}/{DOWN}/kernel": (d, 0),
                f"{path}/{DOWN}/bias": (0,),
                f"{path}/{UP}/kernel": (0, d),
                f"{path}/{UP}/bias": (d,),
            }
            for name, shape in empty.items():
                tensors[name] = own.get(name, np.zeros(shape, np.float32))
    for variable in layer_norm_variables(backbone):
        tensors[variable.path] = own.get(variable.path, np.zeros(0, np.float32))
    return tensors


def exported_task(adapter: Adapter, model: AdapterModel) -> ExportedTask:
    """The task in memory, as it is read back from its adapter SavedModel.

    Args:
        adapter: The adapter.
        model: A model of its base and form; its head may be another task's.
    """
    heads = {v.path for v in model.head_variables()}
    encoder = encoder_tensors(adapter, model) | _constants(adapter)
    head = {path: adapter.tensors[path] for path in heads}
    return ExportedTask(exported_config(adapter), encoder, head)


def save_adapter_model(adapter: Adapter, model: AdapterModel, directory: Path) -> None:
    """Write the SavedModel, unchecked.

    Args:
        adapter: The adapter.
        model: Its model, whose backbone says where adapters could be.
        directory: Where to.
    """
    tensors = encoder_tensors(adapter, model)
    encoder = {name: tf.Variable(value) for name, value in tensors.items()}
    head = {
        v.path: tf.Variable(adapter.tensors[v.path]) for v in model.head_variables()
    }
    root = tf.train.Checkpoint()
    root.variables = [*encoder.values(), *head.values()]
    # What is empty, or was not trained, is not for an optimizer either.
    root.trainable_variables = [
        *(v for name, v in encoder.items() if name in adapter.tensors),
        *head.values(),
    ]
    root.regularization_losses = []
    constants = {k: tf.constant(v) for k, v in _constants(adapter).items()}

    def values(variables: dict[str, Any]) -> dict[str, Any]:
        return {name: tf.identity(v) for name, v in variables.items()}

    root.weights = tf.function(lambda: values(encoder) | constants, input_signature=[])
    root.head_weights = tf.function(lambda: values(head), input_signature=[])
    compute = head_function(adapter.kind, adapter.head)
    d = model.backbone.hidden_dim
    outputs_spec = {
        "sequence_output": tf.TensorSpec([None, None, d], tf.float32),
        "pooled_output": tf.TensorSpec([None, d], tf.float32),
        "input_mask": tf.TensorSpec([None, None], tf.int32),
    }
    head_spec = {name: tf.TensorSpec(v.shape, tf.float32) for name, v in head.items()}
    root.apply_head = tf.function(compute, input_signature=[outputs_spec, head_spec])
    root.head = tf.function(
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
    activation = adapter.adapter.activation if adapter.adapter else "linear"
    return {
        "activation": np.int32(activation_code(activation)),
        "fingerprint": fingerprint_words(adapter.base_fingerprint),
    }


def exported_config(adapter: Adapter) -> dict[str, Any]:
    """What the SavedModel's `config()` says, as JSON values."""
    return adapter.to_dict() | {"format_version": FORMAT_VERSION}


def _cases(model: AdapterModel) -> list[Case]:
    tokens = preprocess_texts(
        model.preprocessor, (tf.constant(SAMPLE_TEXTS), tf.constant(SAMPLE_PAIRS))
    )
    outputs = hub_outputs(model.backbone(tokens, training=False))
    arrays = {name: np.asarray(outputs[name]) for name in outputs}
    arrays["input_mask"] = np.asarray(tokens["padding_mask"], np.int32)
    logits = np.array(model(tokens, training=False))
    if logits.ndim == 3:
        # Padding's logits are pushed to -1e9, give or take what float32 holds.
        logits[arrays["input_mask"] == 0] = np.nan
    weights = {
        v.path: v.numpy()
        for v in model.trainable_variables
        if v.path not in {h.path for h in model.head_variables()}
    }
    return [
        Case("head", arrays, {"": logits}),
        Case("weights", None, weights),
    ]
