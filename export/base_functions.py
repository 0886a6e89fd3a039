"""The functions of a base SavedModel."""

from typing import Any

import keras
import tensorflow as tf

from adapters_tf.adapters import DEFAULT_FORM, export_forms, full_forms
from adapters_tf.adapters.base import TaskForm
from adapters_tf.adapters.joined import joined_specs, task_specs
from adapters_tf.adapters.task_scope import TaskFunctions, task_scope
from adapters_tf.export.fingerprints import check_same_base, fingerprint_words
from adapters_tf.export.row_groups import group_rows
from adapters_tf.export.task_tensors import NORM, OneTask, TaskOfEachRow
from adapters_tf.layers.dropout import dropout_scope
from adapters_tf.models.adapter_backbone import AdapterBackbone, named_outputs
from adapters_tf.models.trainable_set import layer_norm_variables

Forms = tuple[TaskForm, ...]

# TF Hub's names of a text encoder's inputs -> keras-hub's.
INPUTS = {
    "input_word_ids": "token_ids",
    "input_mask": "padding_mask",
    "input_type_ids": "segment_ids",
}


def input_specs() -> dict[str, tf.TensorSpec]:
    """`[batch, length]` int32 for each of TF Hub's inputs."""
    return {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS}


def hub_outputs(outputs: Any) -> dict[str, Any]:
    """`sequence_output` and `pooled_output` of a backbone's outputs.

    Without a pooler the pooled output is the first token's vector, which keras-hub's
    classifiers read there.
    """
    named = dict(named_outputs(outputs))
    named.setdefault("pooled_output", named["sequence_output"][:, 0, :])
    return named


class BaseFunctions:
    """What a base computes, as functions of tensors.

    Args:
        backbone: An adapter backbone with `adapter=None`, in float32.
    """

    def __init__(self, backbone: AdapterBackbone) -> None:
        self.hidden_dim = backbone.hidden_dim
        self.fingerprint = fingerprint_words(backbone.fingerprint)
        norms: dict[str, list[Any]] = {}
        for variable in layer_norm_variables(backbone):
            path = variable.path.rsplit("/", 1)[0]
            norms.setdefault(path, []).append(variable.value)
        self.layer_norms = norms
        # Embeddings may be narrower than the blocks.
        self.layer_norm_sizes = {
            path: gamma.shape[0]
            for path, (gamma, _) in norms.items()
            if gamma.shape[0] != self.hidden_dim
        }
        self.block_paths = [block.path for block in backbone.encoder_blocks]
        self._model = keras.Model(
            backbone.input,
            {
                **hub_outputs(backbone.output),
                "encoder_outputs": [output for _, output in backbone.calls],
            },
        )

    def adapter_specs(self, forms: Forms = (DEFAULT_FORM,)) -> dict[str, tf.TensorSpec]:
        """What `encode` takes of a task: its tensors, by variable path.

        Args:
            forms: How the task is held. With the default form there are, for each
                adapter, `.../down_projection/kernel` `[d, m]`, `bias` `[m]`,
                `.../up_projection/kernel` `[m, d]`, `bias` `[d]`, with m = 0 where the
                task has none, and `activation`, a number (`adapters.activations`).

        Returns:
            Those of the forms; for each LayerNorm `gamma` and `beta`, `[d]` or `[0]`
            for the base's own; and `fingerprint` (`fingerprint_words`) of the base.
        """
        specs = {"fingerprint": tf.TensorSpec([4], tf.int64)}
        for form in forms:
            specs |= task_specs(form, self.block_paths, self.hidden_dim)
        for path in self.layer_norms:
            for name in NORM:
                specs[f"{path}/{name}"] = tf.TensorSpec([None], tf.float32)
        return specs

    def bank_specs(self, forms: Forms = (DEFAULT_FORM,)) -> dict[str, tf.TensorSpec]:
        """What `encode_rows` takes of many tasks; see `export.bank`.

        Args:
            forms: How the tasks are held.
        """
        d = self.hidden_dim
        specs = {"fingerprint": tf.TensorSpec([4], tf.int64)}
        for form in forms:
            specs |= joined_specs(form, self.block_paths, d)
        for path in self.layer_norms:
            specs[f"{path}/row"] = tf.TensorSpec([None], tf.int32)
            for name in NORM:
                size = self.layer_norm_sizes.get(path, d)
                specs[f"{path}/{name}"] = tf.TensorSpec([None, size], tf.float32)
        return specs

    def plain(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """The base alone, with the outputs of a TF Hub text encoder.

        Returns:
            `pooled_output` `[batch, d]`, `sequence_output` `[batch, length, d]`,
            `encoder_outputs`, one such tensor for each call of a block, and `default`,
            the pooled output.
        """
        outputs = self._run(inputs, training)
        return {**outputs, "default": outputs["pooled_output"]}

    def encode(
        self, inputs: dict[str, Any], adapter: dict[str, Any], training: bool = False
    ) -> dict[str, Any]:
        """The base with one task's tensors.

        Args:
            inputs: `[batch, length]` int32 each.
            adapter: See `adapter_specs`.
            training: Whether dropout is active.

        Returns:
            `sequence_output` `[batch, length, d]`, `pooled_output` `[batch, d]`
            and the given `input_mask`: what a task's `head` takes.
        """
        (forms,) = (
            f for f in export_forms() if self.adapter_specs(f).keys() == set(adapter)
        )
        task = OneTask(adapter, forms, self._frozen_layer_norms())
        return self._adapted(inputs, adapter["fingerprint"], task, training)

    def encode_rows(
        self, inputs: dict[str, Any], bank: dict[str, Any], tasks: Any
    ) -> dict[str, Any]:
        """The base with each row's own task, for inference.

        Args:
            inputs: `[batch, length]` int32 each.
            bank: See `bank_specs`.
            tasks: `[batch]` int32 indices into the bank.

        Returns:
            As `encode`.
        """
        groups = group_rows(tasks)
        inputs = {name: groups.sort(value) for name, value in inputs.items()}
        forms: Forms = (DEFAULT_FORM,)
        if self.bank_specs(forms).keys() != set(bank):
            forms = full_forms()
        norms = self._frozen_layer_norms()
        task = TaskOfEachRow(bank, forms, tasks, groups, norms)
        outputs = self._adapted(inputs, bank["fingerprint"], task, False)
        return {name: groups.restore(value) for name, value in outputs.items()}

    def _frozen_layer_norms(self) -> dict[str, list[Any]]:
        return {
            path: [tf.stop_gradient(value) for value in values]
            for path, values in self.layer_norms.items()
        }

    def _adapted(
        self,
        inputs: dict[str, Any],
        fingerprint: Any,
        task: TaskFunctions,
        training: bool,
    ) -> dict[str, Any]:
        check = check_same_base(self.fingerprint, fingerprint)
        with tf.control_dependencies([check]):
            inputs = {name: tf.identity(value) for name, value in inputs.items()}
        # A task trains its own tensors and never the base.
        frozen = [(v, tf.stop_gradient(v.value)) for v in self._model.weights]
        with task_scope(task), keras.StatelessScope(state_mapping=frozen):
            outputs = self._run(inputs, training)
        return {
            "sequence_output": outputs["sequence_output"],
            "pooled_output": outputs["pooled_output"],
            "input_mask": inputs["input_mask"],
        }

    def _run(self, inputs: dict[str, Any], training: bool) -> dict[str, Any]:
        # Not all bases read `input_type_ids`; all SavedModels have the same inputs.
        tokens = {
            ours: inputs[name]
            for name, ours in INPUTS.items()
            if ours in self._model.input
        }
        if not training:
            return self._model(tokens, training=False)
        # Other masks in each call, drawn from the calling program's own state.
        seed = tf.random.uniform([], maxval=tf.int64.max, dtype=tf.int64)
        with dropout_scope(seed, 0):
            return self._model(tokens, training=True)
