"""The functions of a base SavedModel."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from adapters_tf.adapters import DEFAULT_FORM, export_forms, full_forms
from adapters_tf.adapters.base import TaskForm
from adapters_tf.adapters.joined import joined_specs, task_specs
from adapters_tf.errors import UserError
from adapters_tf.export.task_tensors import NORM, OneTask, TaskOfEachRow, group_rows
from adapters_tf.layers.dropout import dropout_scope
from adapters_tf.models.adapter_backbone import AdapterBackbone, named_outputs
from adapters_tf.models.block import TaskFunctions, task_scope
from adapters_tf.models.trainable_set import layer_norm_variables


def fingerprint_words(fingerprint: str | None) -> np.ndarray:
    """Convert a `base_fingerprint` to its 256 bits as `[4]` int64.

    XLA-compiled functions cannot take strings, so this uses numbers.

    Raises:
        UserError: if it is not a `base_fingerprint`.
    """
    try:
        algorithm, _, digits = (fingerprint or "").partition(":")
        if algorithm != "sha256":
            raise ValueError
        data = bytes.fromhex(digits)
        return np.frombuffer(data, ">i8", count=4).astype(np.int64)
    except ValueError as error:
        raise UserError(
            "A base that is exported needs a fingerprint of the form sha256:<64 hex "
            f"digits>. Received: {fingerprint!r}. Load the base with load_backbone."
        ) from error


def check_same_base(own: np.ndarray, other: Any) -> Any:
    """Return an op that fails if a task is for another base.

    Args:
        own: `fingerprint_words` of this base.
        other: `[4]` int64 fingerprint tensor of the task.
    """
    return tf.debugging.assert_equal(
        other,
        tf.constant(own),
        message=(
            "An adapter works only on the base it was trained on. The adapter's "
            "fingerprint (x) is not that of this base (y): load the base that its "
            "base_fingerprint() names, or train an adapter for this one."
        ),
    )


Forms = tuple[TaskForm, ...]

# TF Hub's names of a text encoder's inputs -> keras-hub's.
INPUTS = {
    "input_word_ids": "token_ids",
    "input_mask": "padding_mask",
    "input_type_ids": "segment_ids",
}


def input_specs() -> dict[str, tf.TensorSpec]:
    """Return `[batch, length]` int32 specs for each of TF Hub's inputs."""
    return {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in INPUTS}


def _named(specs: dict[str, tf.TensorSpec]) -> dict[str, tf.TensorSpec]:
    """Name each spec, for `adapters_tf.export.saving.traced_for_saving`."""
    return {
        key: tf.TensorSpec(spec.shape, spec.dtype, name=key)
        for key, spec in specs.items()
    }


def hub_outputs(outputs: Any) -> dict[str, Any]:
    """Return `sequence_output` and `pooled_output` from a backbone's outputs.

    Without a pooler, the pooled output is the first token's vector, as in keras-hub's
    classifiers.
    """
    named = dict(named_outputs(outputs))
    named.setdefault("pooled_output", named["sequence_output"][:, 0, :])
    return named


class BaseFunctions:
    """The computations of a base, as functions of tensors.

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
        # The embeddings can be narrower than the blocks.
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
        """Return the specs of a task's tensors for `encode`, by variable path.

        Args:
            forms: The forms of the task. With the default form, each adapter has
                `.../down_projection/kernel` `[d, m]`, `bias` `[m]`,
                `.../up_projection/kernel` `[m, d]`, `bias` `[d]`, with m = 0 for no
                adapter, and there is `activation`, a number (`adapters.activations`).

        Returns:
            The forms' tensors; `gamma` and `beta` for each LayerNorm, `[d]`, or `[0]`
            to use the base's; and the base's `fingerprint` (`fingerprint_words`).
        """
        specs = {"fingerprint": tf.TensorSpec([4], tf.int64)}
        for form in forms:
            specs |= task_specs(form, self.block_paths, self.hidden_dim)
        for path in self.layer_norms:
            for name in NORM:
                specs[f"{path}/{name}"] = tf.TensorSpec([None], tf.float32)
        return _named(specs)

    def bank_specs(self, forms: Forms = (DEFAULT_FORM,)) -> dict[str, tf.TensorSpec]:
        """Return the specs of a bank for `encode_rows`; see `export.bank`.

        Args:
            forms: The forms of the tasks.
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
        return _named(specs)

    def plain(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Run the base without a task, with the outputs of a TF Hub text encoder.

        Returns:
            `pooled_output` `[batch, d]`; `sequence_output` `[batch, length, d]`;
            `encoder_outputs`, a `[batch, length, d]` tensor for each call of a block;
            and `default`, the pooled output.
        """
        outputs = self._run(inputs, training)
        return {**outputs, "default": outputs["pooled_output"]}

    def encode(
        self, inputs: dict[str, Any], adapter: dict[str, Any], training: bool = False
    ) -> dict[str, Any]:
        """Run the base with one task's tensors.

        Args:
            inputs: `[batch, length]` int32 each.
            adapter: See `adapter_specs`.
            training: Whether dropout is active.

        Returns:
            The inputs of a task's `head`: `sequence_output` `[batch, length, d]`,
            `pooled_output` `[batch, d]` and the given `input_mask`.
        """
        (forms,) = (
            f for f in export_forms() if self.adapter_specs(f).keys() == set(adapter)
        )
        task = OneTask(adapter, forms, self._frozen_layer_norms())
        return self._adapted(inputs, adapter["fingerprint"], task, training)

    def encode_rows(
        self, inputs: dict[str, Any], bank: dict[str, Any], tasks: Any
    ) -> dict[str, Any]:
        """Run the base with each row's own task, for inference.

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
        # Training changes only the task's tensors, never the base.
        frozen = [(v, tf.stop_gradient(v.value)) for v in self._model.weights]
        with task_scope(task), keras.StatelessScope(state_mapping=frozen):
            outputs = self._run(inputs, training)
        return {
            "sequence_output": outputs["sequence_output"],
            "pooled_output": outputs["pooled_output"],
            "input_mask": inputs["input_mask"],
        }

    def _run(self, inputs: dict[str, Any], training: bool) -> dict[str, Any]:
        # All SavedModels have the same inputs, but not all bases read `input_type_ids`.
        tokens = {
            ours: inputs[name]
            for name, ours in INPUTS.items()
            if ours in self._model.input
        }
        if not training:
            return self._model(tokens, training=False)
        # Draw a new seed in each call, from the calling program's random state.
        seed = tf.random.uniform([], maxval=tf.int64.max, dtype=tf.int64)
        with dropout_scope(seed, 0):
            return self._model(tokens, training=True)
