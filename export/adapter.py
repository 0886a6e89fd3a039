"""The adapter SavedModel: what one task adds to a base."""

import dataclasses
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf

from adapters_tf.backends import require_tensorflow_backend
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.errors import AdapterFileError
from adapters_tf.export.activations import activation_code
from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.base_functions import hub_outputs
from adapters_tf.export.directories import new_directory
from adapters_tf.export.fingerprints import fingerprint_words
from adapters_tf.export.heads import BIAS, KERNEL, head_function
from adapters_tf.export.sample_texts import SAMPLE_PAIRS, SAMPLE_TEXTS
from adapters_tf.export.saving import FORMAT_VERSION, constant_function
from adapters_tf.export.self_check import Case, check_in_new_process
from adapters_tf.export.task_tensors import DOWN, NORM, UP
from adapters_tf.layers.adapter_config import SUBLAYERS
from adapters_tf.models.adapter import Adapter, check_tensors
from adapters_tf.models.adapter_backbone import AdapterBackbone
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
        check_in_new_process(directory, _cases(model))


@dataclasses.dataclass(frozen=True)
class BasePlaces:
    """Where tasks can have tensors of their own in a base.

    Attributes:
        hidden_dim: Hidden size `d`.
        adapter_paths: Paths of the adapters, block by block.
        layer_norm_sizes: Path -> size of each LayerNorm.
    """

    hidden_dim: int
    adapter_paths: tuple[str, ...]
    layer_norm_sizes: dict[str, int]

    @classmethod
    def of_backbone(cls, backbone: AdapterBackbone) -> "BasePlaces":
        """The places of a Keras backbone, with adapters or without."""
        paths = (
            f"{block.path}/{sublayer}_adapter"
            for block in backbone.encoder_blocks
            for sublayer in SUBLAYERS
        )
        norms = {
            variable.path.rsplit("/", 1)[0]: variable.shape[0]
            for variable in layer_norm_variables(backbone)
        }
        return cls(backbone.hidden_dim, tuple(paths), norms)

    @classmethod
    def of_config(cls, config: dict[str, Any]) -> "BasePlaces":
        """The places that the `config()` of a base SavedModel lists."""
        d, sizes = config["hidden_dim"], config.get("layer_norm_sizes", {})
        norms = {path: sizes.get(path, d) for path in config["layer_norm_paths"]}
        return cls(d, tuple(config["adapter_paths"]), norms)

    def task_shapes(self, adapter: Adapter) -> dict[str, tuple[int, ...]]:
        """Path -> shape of each tensor that a task of this form has.

        Args:
            adapter: The task; its tensors are not looked at.

        Raises:
            AdapterFileError: if it has adapters in blocks that the base does not have.
        """
        d, method = self.hidden_dim, adapter.tuning.method
        outputs = adapter.head.get("num_classes") or _OUTPUTS[adapter.kind]
        shapes: dict[str, tuple[int, ...]] = {KERNEL: (d, outputs), BIAS: (outputs,)}
        blocks = list(dict.fromkeys(p.rsplit("/", 1)[0] for p in self.adapter_paths))
        own_norms: Collection[int] = ()
        if method == "layer_norm":
            own_norms = range(len(blocks))
        if adapter.adapter is not None:
            try:
                config = adapter.adapter.for_blocks(len(blocks))
            except ValueError as error:
                raise AdapterFileError(f"The adapter is not usable: {error}") from error
            layers = range(len(blocks)) if config.layers is None else config.layers
            factor = cast(float, config.reduction_factor)
            units = config.bottleneck_dim or max(1, int(d // factor))
            for i in layers:
                for sublayer in config.sublayers:
                    path = f"{blocks[i]}/{sublayer}_adapter"
                    shapes |= adapter_shapes(path, d, units)
            if method == "adapters":
                own = config.layer_norm_layers
                own_norms = layers if own is None else own
        for path, size in self.layer_norm_sizes.items():
            # The LayerNorm of the embeddings goes with the first block.
            of_block = (i for i, b in enumerate(blocks) if path.startswith(f"{b}/"))
            if next(of_block, 0) in own_norms:
                shapes |= {f"{path}/{name}": (size,) for name in NORM}
        return shapes


# Outputs of the heads without classes.
_OUTPUTS = {"regression": 1, "question_answering": 2}


def adapter_shapes(path: str, d: int, units: int) -> dict[str, tuple[int, ...]]:
    """Path -> shape of the tensors of one adapter; without units, of none."""
    return {
        f"{path}/{DOWN}/kernel": (d, units),
        f"{path}/{DOWN}/bias": (units,),
        f"{path}/{UP}/kernel": (units, d),
        f"{path}/{UP}/bias": (d,),
    }


def encoder_tensors(adapter: Adapter, places: BasePlaces) -> dict[str, np.ndarray]:
    """The task's tensors for `encode`: see `BaseFunctions.adapter_specs`."""
    empty: dict[str, tuple[int, ...]] = {}
    for path in places.adapter_paths:
        empty |= adapter_shapes(path, places.hidden_dim, 0)
    for path in places.layer_norm_sizes:
        empty |= {f"{path}/{name}": (0,) for name in NORM}
    own = adapter.tensors
    return {
        path: own[path] if path in own else np.zeros(shape, np.float32)
        for path, shape in empty.items()
    }


def exported_task(adapter: Adapter, model: AdapterModel) -> ExportedTask:
    """`task_of_adapter` for a Keras model of the adapter's base.

    Args:
        adapter: The adapter.
        model: A model of its base and form; its head may be another task's.
    """
    return task_of_adapter(adapter, BasePlaces.of_backbone(model.backbone))


def task_of_adapter(adapter: Adapter, places: BasePlaces) -> ExportedTask:
    """Put a task together from its adapter directory, as a servable holds it.

    It equals the task that is read from the adapter SavedModel.

    Args:
        adapter: The adapter, of a form that can be exported.
        places: Where its base has adapters and LayerNorms.

    Raises:
        AdapterFileError: if its tensors are not exactly those of a task of its form on
            this base.
    """
    check_tensors(adapter.tensors, places.task_shapes(adapter))
    config = json.loads(json.dumps(exported_config(adapter)))
    encoder = encoder_tensors(adapter, places) | _constants(adapter)
    head = {path: adapter.tensors[path] for path in (KERNEL, BIAS)}
    return ExportedTask(config, encoder, head)


def save_adapter_model(adapter: Adapter, model: AdapterModel, directory: Path) -> None:
    """Write the SavedModel, unchecked.

    Args:
        adapter: The adapter.
        model: Its model, whose backbone says where adapters could be.
        directory: Where to.
    """
    tensors = encoder_tensors(adapter, BasePlaces.of_backbone(model.backbone))
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
