"""Write the base SavedModel, which all tasks of a backbone share."""

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.adapters import DEFAULT_FORM, export_forms, full_forms
from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.errors import UserError
from adapters_tf.export.base_functions import (
    INPUTS,
    BaseFunctions,
    hub_outputs,
    input_specs,
)
from adapters_tf.export.preprocessor import PREPROCESSOR_DIR, save_preprocessor
from adapters_tf.export.saving import (
    FORMAT_VERSION,
    constant_function,
    graph_function,
    new_directory,
    save_with_base_shard,
    traced_for_saving,
)
from adapters_tf.export.self_check import SAMPLE_TEXTS, Case, check_export
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.fingerprint import backbone_name
from adapters_tf.models.presets import (
    load_backbone,
    load_preprocessor,
    preprocess_texts,
)
from adapters_tf.preset_names import resolve_preset

# The smallest seq_length, as in training.
SHORTEST = 8
_LIBRARIES = ("adapters-tf", "tensorflow", "tensorflow-text", "keras", "keras-hub")


def export_base(
    preset: str, output_dir: str | os.PathLike[str], seq_length: int = 128
) -> None:
    """Write the base SavedModel of a preset, with its preprocessor inside.

    The SavedModel has TF Hub's interface of a text encoder, and functions to combine it
    with tasks; see docs/export.md. A new process compares it with the Keras model
    before it gets its final name.

    Args:
        preset: See `load_backbone`.
        output_dir: A new directory.
        seq_length: Length that the preprocessor's `__call__` packs to.

    Raises:
        UserError: if the preset cannot be loaded, holds adapters or has fewer
            positions than `seq_length`, the directory exists or cannot be
            written, or the written model differs.
    """
    require_tensorflow_backend("export_base")
    with new_directory(output_dir) as directory:
        preset = resolve_preset(preset)
        backbone = load_backbone(preset, dtype="float32")
        if backbone.adapter is not None:
            raise UserError(
                "A base is exported without adapters, which each task brings. "
                f"Received: {preset!r}, which holds {backbone.adapter}; give the "
                "preset that these were trained on."
            )
        longest = backbone.max_sequence_length
        if not SHORTEST <= seq_length <= longest:
            raise UserError(
                f"seq_length must be from {SHORTEST} to {longest}, the number of "
                f"positions of the base. Received: seq_length={seq_length}"
            )
        preprocessor = load_preprocessor(preset, seq_length)
        save_base(backbone, directory)
        save_preprocessor(preprocessor, directory / PREPROCESSOR_DIR)
        check_export(directory, _cases(backbone, preprocessor))


def save_base(backbone: AdapterBackbone, directory: Path) -> None:
    """Write the SavedModel of a backbone without checking it.

    Args:
        backbone: A backbone with `adapter=None`, in float32.
        directory: Where to write.
    """
    functions = BaseFunctions(backbone)
    inputs = input_specs()
    root = tf.train.Checkpoint()
    # Sort, so that the shard has the same bytes in every export.
    variables = sorted(backbone.weights, key=lambda v: v.path)
    root.variables = [v.value for v in variables]
    root.trainable_variables = list(root.variables)
    root.regularization_losses = []
    root.__call__ = graph_function(functions.plain)
    root.encode = graph_function(functions.encode)
    root.encode_rows = graph_function(functions.encode_rows)
    with traced_for_saving():
        for training in (True, False):
            root.__call__.get_concrete_function(inputs, training=training)
            for forms in export_forms():
                root.encode.get_concrete_function(
                    inputs, functions.adapter_specs(forms), training=training
                )
        for forms in ((DEFAULT_FORM,), full_forms()):
            root.encode_rows.get_concrete_function(
                inputs,
                functions.bank_specs(forms),
                tf.TensorSpec([None], tf.int32, name="tasks"),
            )
    config = {
        "format_version": FORMAT_VERSION,
        "backbone": backbone_name(backbone),
        "fingerprint": backbone.fingerprint,
        "hidden_dim": functions.hidden_dim,
        "adapter_paths": DEFAULT_FORM.paths(functions.block_paths),
        # A servable's bank holds tasks in the default form or in all these forms.
        "forms": [form.name for form in full_forms()],
        "layer_norm_paths": list(functions.layer_norms),
        "layer_norm_sizes": functions.layer_norm_sizes,
        "max_sequence_length": backbone.max_sequence_length,
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
    root.config = constant_function(json.dumps(config, sort_keys=True))
    root.fingerprint = constant_function(backbone.fingerprint)

    def serving_default(inputs: Any) -> Any:
        outputs = root.__call__(inputs, training=False)
        return {name: outputs[name] for name in ("pooled_output", "sequence_output")}

    signature = graph_function(serving_default, input_signature=[inputs])
    save_with_base_shard(root, directory, {"serving_default": signature})


def _cases(backbone: AdapterBackbone, preprocessor: Any) -> list[Case]:
    tokens = preprocess_texts(preprocessor, tf.constant(SAMPLE_TEXTS))
    outputs = hub_outputs(backbone(tokens, training=False))
    values = {name: np.asarray(value) for name, value in outputs.items()}
    # Ignore vectors of padding: nothing reads them, and they round more coarsely.
    padding = np.asarray(tokens["padding_mask"]) == 0
    values["sequence_output"] = np.where(
        padding[:, :, None], np.nan, values["sequence_output"]
    )
    # For a base that reads no segments, any values work.
    none = np.zeros(padding.shape, np.int32)
    arrays = {h: np.asarray(tokens.get(n, none), np.int32) for h, n in INPUTS.items()}
    return [
        Case("", arrays, {**values, "default": values["pooled_output"]}),
        Case("fingerprint", None, {"": np.array(backbone.fingerprint)}),
    ]
