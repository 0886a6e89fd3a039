"""Base and adapter SavedModels put together in a Python program."""

import json
import os
from typing import Any

import keras
import tensorflow as tf

from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export.saving import FORMAT_VERSION

# The attribute that tells the kinds of SavedModels apart.
_NEEDS = {
    "base": "encode_rows",
    "adapter": "head_weights",
    "preprocessor": "bert_pack_inputs",
}


def load_exported(directory: str | os.PathLike[str], kind: str) -> Any:
    """`tf.saved_model.load`, for a directory that an export has written.

    Args:
        directory: The SavedModel.
        kind: `"base"`, `"adapter"` or `"preprocessor"`, which is inside a base.

    Raises:
        UserError: if it is not there, not readable or of another kind.
    """
    needs = _NEEDS[kind]
    check_is_saved_model(directory, kind)
    path = os.fspath(directory)
    try:
        # The preprocessor's and a servable's ops.
        import tensorflow_text  # noqa: F401

        loaded = tf.saved_model.load(path)
    except (OSError, ValueError, tf.errors.OpError) as error:
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
    """Refuse what is no SavedModel directory, without loading it.

    Args:
        directory: The directory.
        kind: What it should be, as in `load_exported`.

    Raises:
        UserError: saying how to write one.
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
    """Refuse an adapter of another base.

    Args:
        base: A loaded base SavedModel.
        adapter: A loaded adapter SavedModel.
        name: What to call it in the error.

    Raises:
        AdapterFileError: naming both fingerprints.
    """
    own = base.fingerprint().numpy().decode()
    check_same_base(own, adapter.base_fingerprint().numpy().decode(), name)


def check_same_base(own: str, other: str | None, name: str) -> None:
    """Refuse an adapter of another base, by the two fingerprints.

    Args:
        own: The base's fingerprint.
        other: That of the base that the adapter was trained on.
        name: What to call the adapter in the error.

    Raises:
        AdapterFileError: naming both fingerprints.
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

    The task's tensors are the layer's trainable weights; the base has none, so
    `fit` trains the adapter, its LayerNorms and its head, and never the base.

    Args:
        base_dir: A base SavedModel.
        adapter_dir: An adapter SavedModel for that base.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `input_word_ids`, `input_mask`, `input_type_ids`, `[batch,
            length]` int32 each.
        training: Whether dropout is active.

    Returns:
        Logits `[batch, classes]`, scores `[batch]`, or start and end logits
        `[batch, length, 2]`, float32.

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
        # XLA has no kernel for the gradient of a branch in a loaded SavedModel.
        self.supports_jit = False
        self._constants: dict[str, Any] = {}
        self._encoder = self._add_weights(self._adapter.weights())
        self._head = self._add_weights(self._adapter.head_weights())
        self.built = True

    @property
    def labels(self) -> list[str]:
        """The class names in the order of the logits; empty without classes."""
        return [label.decode() for label in self._adapter.labels().numpy()]

    @property
    def exported_config(self) -> dict[str, Any]:
        """What the adapter SavedModel says of itself."""
        return json.loads(self._adapter.config().numpy())

    def _add_weights(self, values: dict[str, Any]) -> dict[str, Any]:
        weights = {}
        for path, value in values.items():
            # An adapter that is not there, or a LayerNorm of the base's own.
            fixed = not value.dtype.is_floating or 0 in value.shape
            absent = path.endswith("up_projection/bias") and (
                0 in values[path.replace("bias", "kernel")].shape
            )
            if fixed or absent:
                self._constants[path] = value
                continue
            # Keras allows no slash in the name of a weight.
            weights[path] = self.add_weight(
                shape=value.shape,
                initializer=lambda shape, dtype, value=value: tf.cast(value, dtype),
                dtype="float32",
                # The base computes in float32, whatever the policy.
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
