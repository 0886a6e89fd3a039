"""Combine base and adapter SavedModels in a Python program."""

import json
import os
from typing import Any

import keras
import tensorflow as tf

from adapters_tf.adapters import form_of
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export.bank import BankLayout, absent_adapters
from adapters_tf.export.saving import FORMAT_VERSION

# The attribute that identifies each kind of SavedModel.
_NEEDS = {
    "base": "encode_rows",
    "adapter": "head_weights",
    "preprocessor": "bert_pack_inputs",
}


def load_exported(directory: str | os.PathLike[str], kind: str) -> Any:
    """Load a SavedModel that an export has written.

    Args:
        directory: The SavedModel.
        kind: `"base"`, `"adapter"` or `"preprocessor"` (a directory inside a base).

    Raises:
        UserError: if it is missing, unreadable or of another kind.
    """
    needs = _NEEDS[kind]
    check_is_saved_model(directory, kind)
    path = os.fspath(directory)
    try:
        # Registers the ops of preprocessors and servables.
        import tensorflow_text  # noqa: F401

        loaded = tf.saved_model.load(path)
    except Exception as error:
        # TensorFlow raises many types for files that are truncated or changed.
        raise UserError(f"{path!r} cannot be read as a SavedModel: {error}") from error
    if not hasattr(loaded, needs):
        raise UserError(
            f"{path!r} is a SavedModel, but no exported {kind}; write one with "
            f"{_command(kind)}."
        )
    if hasattr(loaded, "config"):
        version = json.loads(loaded.config().numpy()).get("format_version")
        if version != FORMAT_VERSION:
            raise UserError(
                f"The format version of an exported {kind} must be {FORMAT_VERSION}. "
                f"Received: {version} in {path!r}. A newer adapters-tf may read it."
            )
    return loaded


def check_is_saved_model(directory: str | os.PathLike[str], kind: str) -> None:
    """Check that a directory holds a SavedModel, without loading it.

    Args:
        directory: The directory.
        kind: The expected kind, as in `load_exported`.

    Raises:
        UserError: if it does not; the text says how to write one.
    """
    path = os.fspath(directory)
    if not os.path.isfile(os.path.join(path, "saved_model.pb")):
        raise UserError(
            f"An exported {kind} is a SavedModel directory. Received: {path!r}, which "
            f"has no saved_model.pb; write one with {_command(kind)}."
        )


def _command(kind: str) -> str:
    return f"adapters-tf-export {'adapter' if kind == 'adapter' else 'base'}"


def check_fits(base: Any, adapter: Any, name: str = "the adapter") -> None:
    """Reject an adapter for another base.

    Args:
        base: A loaded base SavedModel.
        adapter: A loaded adapter SavedModel.
        name: Name of the adapter in the error.

    Raises:
        AdapterFileError: if the fingerprints differ; names both.
    """
    own = base.fingerprint().numpy().decode()
    check_same_base(own, adapter.base_fingerprint().numpy().decode(), name)


def check_same_base(own: str, other: str | None, name: str) -> None:
    """Reject an adapter for another base, given two fingerprints.

    Args:
        own: The base's fingerprint.
        other: The fingerprint of the base that the adapter was trained on.
        name: Name of the adapter in the error.

    Raises:
        AdapterFileError: if the fingerprints differ; names both.
    """
    if own != other:
        raise AdapterFileError(
            f"An adapter works only on the base it was trained on. {name} was trained "
            f"on {other}; this base is {own}. Export that base, or train an adapter "
            "for this one."
        )


@keras.saving.register_keras_serializable(package="adapters_tf")
class CombinedLayer(keras.layers.Layer):
    """An exported base with an exported adapter, as a Keras 3 layer.

    The layer's trainable weights are the task's tensors, so `fit` trains the adapter,
    its LayerNorms and its head, and never the base.

    Args:
        base_dir: A base SavedModel.
        adapter_dir: An adapter SavedModel for that base.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `input_word_ids`, `input_mask`, `input_type_ids`, `[batch,
            length]` int32 each.
        training: Whether dropout is active.

    Returns:
        Float32: logits `[batch, classes]`, scores `[batch]`, start and end logits of
        answers `[batch, length, 2]`, or logits of tags `[batch, length, classes]`.

    Raises:
        UserError: if a directory is not such an export, or the adapter is for
            another base.
    """

    def __init__(
        self,
        base_dir: str | os.PathLike[str],
        adapter_dir: str | os.PathLike[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.base_dir, self.adapter_dir = os.fspath(base_dir), os.fspath(adapter_dir)
        self._base = load_exported(base_dir, "base")
        self._adapter = load_exported(adapter_dir, "adapter")
        check_fits(self._base, self._adapter, repr(self.adapter_dir))
        # XLA cannot differentiate a branch in a loaded SavedModel.
        self.supports_jit = False
        self._constants: dict[str, Any] = {}
        encoder = self._adapter.weights()
        layout = BankLayout.of_base(json.loads(self._base.config().numpy()))
        layout.check_has(form_of(self.exported_config["adapter"]))
        absent = absent_adapters(
            self.exported_config, encoder, layout.block_paths, layout.hidden_dim
        )
        self._encoder = self._add_weights(encoder, absent)
        self._head = self._add_weights(self._adapter.head_weights(), set())
        self.built = True

    @property
    def labels(self) -> list[str]:
        """The class names in the order of the logits; empty without classes."""
        return [label.decode() for label in self._adapter.labels().numpy()]

    @property
    def exported_config(self) -> dict[str, Any]:
        """The adapter SavedModel's own config."""
        return json.loads(self._adapter.config().numpy())

    def _add_weights(self, values: dict[str, Any], absent: set[str]) -> dict[str, Any]:
        weights = {}
        for path, value in values.items():
            # Not trained: LayerNorms of the base, and absent adapters.
            if not value.dtype.is_floating or 0 in value.shape or path in absent:
                self._constants[path] = value
                continue
            # Keras forbids slashes in the names of weights.
            weights[path] = self.add_weight(
                shape=value.shape,
                initializer=lambda shape, dtype, value=value: tf.cast(value, dtype),
                dtype="float32",
                # The base always computes in float32, whatever the policy.
                autocast=False,
                name=path.replace("/", "."),
            )
        return weights

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        tensors = {k: tf.convert_to_tensor(v) for k, v in self._encoder.items()}
        outputs = self._base.encode(
            inputs, tensors | self._constants, training=bool(training)
        )
        head = {k: tf.convert_to_tensor(v) for k, v in self._head.items()}
        return self._adapter.apply_head(outputs, head)

    def get_config(self) -> dict[str, Any]:
        own = {"base_dir": self.base_dir, "adapter_dir": self.adapter_dir}
        return {**super().get_config(), **own}
