"""A BERT's sizes and tensors, under the names that each library gives them."""

import dataclasses
import re
from collections.abc import Callable, Collection
from typing import Any

import keras_hub
import numpy as np

from adapters_tf.convert.files import field, rate
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.fingerprint import BERT, backbone_name
from adapters_tf.models.presets import load_backbone
from adapters_tf.preset_names import resolve_preset


def load_bert(preset: str) -> AdapterBackbone:
    """Load a BERT in float32.

    Args:
        preset: See `load_backbone`, or `"demo"`.

    Raises:
        UserError: The base cannot be loaded or is not a BERT. Tensors of another
            encoder could fit by their shapes alone.
    """
    base = load_backbone(resolve_preset(preset), dtype="float32")
    if backbone_name(base) != BERT:
        raise UserError(
            "Adapters are converted for BERT bases alone. Received: "
            f"{preset!r}, a {backbone_name(base)}"
        )
    return base


def read_sizes(config: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """The arguments of `keras_hub.models.BertBackbone`.

    Args:
        config: Hugging Face's `config.json`, or the `bert_config.json` of Google's
            code, whose fields have the same names.
        say: Called with a line on what is not kept.

    Raises:
        UserError: A field is missing or of another type, the sizes do not fit, or
            there is one segment only.
    """
    where = "The configuration of a BERT"
    names = {
        "vocabulary_size": "vocab_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "hidden_dim": "hidden_size",
        "intermediate_dim": "intermediate_size",
        "max_sequence_length": "max_position_embeddings",
    }
    sizes = {ours: field(config, name, int, where) for ours, name in names.items()}
    sizes["num_segments"] = 2
    if "type_vocab_size" in config:
        sizes["num_segments"] = field(config, "type_vocab_size", int, where)
    if sizes["num_segments"] == 1:
        raise UserError(
            "type_vocab_size must be 2 or more: the second text of a pair is segment "
            "1, of which this base has no embedding. Received: type_vocab_size=1"
        )
    if sizes["hidden_dim"] % sizes["num_heads"]:
        raise UserError(
            "hidden_size must be a multiple of num_attention_heads. Received: "
            f"{sizes['hidden_dim']} and {sizes['num_heads']}"
        )
    dropout = rate(config, "hidden_dropout_prob", 0.1)
    attention = rate(config, "attention_probs_dropout_prob", dropout)
    if attention != dropout:
        say(
            f"Dropout in training is {dropout} everywhere, hidden_dropout_prob; this "
            f"library has no other one for attention_probs_dropout_prob={attention}"
        )
    return sizes | {"dropout": dropout}


_ATTENTION = "self_attention_layer"
# Ours in a block -> Google's in `bert/encoder/layer_{i}`.
_BLOCK = {
    f"{_ATTENTION}/query/": "attention/self/query/",
    f"{_ATTENTION}/key/": "attention/self/key/",
    f"{_ATTENTION}/value/": "attention/self/value/",
    f"{_ATTENTION}/attention_output/": "attention/output/dense/",
    "self_attention_layer_norm/": "attention/output/LayerNorm/",
    "feedforward_intermediate_dense/": "intermediate/dense/",
    "feedforward_output_dense/": "output/dense/",
    "feedforward_layer_norm/": "output/LayerNorm/",
}
_OUTSIDE = {
    "token_embedding/embeddings": "embeddings/word_embeddings",
    "position_embedding/embeddings": "embeddings/position_embeddings",
    "segment_embedding/embeddings": "embeddings/token_type_embeddings",
    "embeddings_layer_norm/gamma": "embeddings/LayerNorm/gamma",
    "embeddings_layer_norm/beta": "embeddings/LayerNorm/beta",
    "pooled_dense/kernel": "pooler/dense/kernel",
    "pooled_dense/bias": "pooler/dense/bias",
}


@dataclasses.dataclass(frozen=True)
class BertTensor:
    """A variable of a BERT under its three names.

    Attributes:
        path: The path in keras-hub.
        shape: The shape in keras-hub.
        google: The name in a checkpoint of Google's TF1 code; kernels `[in, out]`.
        hugging_face: The name in a Hugging Face checkpoint, without the prefix
            `bert.`; kernels, which are called weights, `[out, in]`.
    """

    path: str
    shape: tuple[int, ...]
    google: str
    hugging_face: str

    @property
    def is_kernel(self) -> bool:
        """Whether this is a dense layer's matrix, which torch stores transposed."""
        return self.path.endswith("/kernel")

    @property
    def is_layer_norm(self) -> bool:
        """Whether this is a gamma or beta."""
        return self.path.endswith(("/gamma", "/beta"))

    def from_google(self, value: np.ndarray, name: str) -> np.ndarray:
        """Convert a value of Google's to keras-hub's shape.

        Raises:
            UserError: The number of rows or columns differs.
        """
        return _reshaped(value, self.matrix_shape, self.shape, name)

    def from_hugging_face(self, value: np.ndarray, name: str) -> np.ndarray:
        """Convert a value of Hugging Face's to keras-hub's shape.

        Raises:
            UserError: The number of rows or columns differs.
        """
        expected = self.matrix_shape
        if self.is_kernel:
            _reshaped(value, expected[::-1], expected[::-1], name)
            value = value.T
        return _reshaped(value, expected, self.shape, name)

    def to_hugging_face(self, value: np.ndarray) -> np.ndarray:
        """Convert a value of keras-hub's to Hugging Face's shape."""
        value = value.reshape(self.matrix_shape)
        return value.T if self.is_kernel else value

    @property
    def matrix_shape(self) -> tuple[int, ...]:
        """The shape with all attention heads as one dimension."""
        if _ATTENTION not in self.path:
            return self.shape
        d = self.shape[0] if len(self.shape) == 3 else int(np.prod(self.shape))
        # The output projection is [heads, size of a head, d], the others
        # [d, heads, size of a head].
        if "attention_output" in self.path:
            d = self.shape[-1]
        return (d, d) if self.is_kernel else (d,)


def _reshaped(
    value: np.ndarray, expected: tuple[int, ...], shape: tuple[int, ...], name: str
) -> np.ndarray:
    _check_shape(value.shape, expected, name)
    if value.dtype != np.float32:
        raise UserError(f"The tensor {name} must be float32. Received: {value.dtype}")
    return value.reshape(shape)


def _check_shape(
    shape: tuple[int, ...] | None, expected: tuple[int, ...], name: str
) -> None:
    if shape != expected:
        raise UserError(
            f"The tensor {name} must have the shape {expected} by the base's "
            f"configuration. Received: {shape if shape is not None else 'none'}"
        )


def check_sizes(
    sizes: dict[str, Any], shapes: dict[str, tuple[int, ...]], hugging_face: bool
) -> None:
    """Refuse sizes that differ from a checkpoint's, before a model takes memory.

    Args:
        sizes: Arguments of `keras_hub.models.BertBackbone`.
        shapes: Name -> shape of the checkpoint's tensors.
        hugging_face: Whether the names are Hugging Face's; otherwise they are Google's.

    Raises:
        UserError: A size differs from the tensors'.
    """
    d = sizes["hidden_dim"]
    intermediate = "transformer_layer_0/feedforward_intermediate_dense/kernel"
    expected = {
        "token_embedding/embeddings": (sizes["vocabulary_size"], d),
        "position_embedding/embeddings": (sizes["max_sequence_length"], d),
        "segment_embedding/embeddings": (sizes["num_segments"], d),
        intermediate: (d, sizes["intermediate_dim"]),
    }
    for path, shape in expected.items():
        tensor = _tensor(path, shape)
        name = tensor.hugging_face if hugging_face else tensor.google
        _check_shape(
            shapes.get(name),
            shape[::-1] if hugging_face and tensor.is_kernel else shape,
            name,
        )
    blocks = re.compile(r"(?:bert/)?encoder[./]layer[._](\d+)[./]")
    found = {m[1] for m in map(blocks.match, shapes) if m}
    if len(found) != sizes["num_layers"]:
        raise UserError(
            f"num_hidden_layers must be {len(found)}, the number of blocks that the "
            f"checkpoint has. Received: num_hidden_layers={sizes['num_layers']}"
        )


def check_names(expected: Collection[str], found: Collection[str], rule: str) -> None:
    """Refuse a checkpoint that does not hold exactly these tensors.

    Args:
        expected: The names that a checkpoint must have.
        found: The names that this one has.
        rule: The first sentence of the error: whose tensors they must be.

    Raises:
        UserError: A name is missing or unknown; the text lists up to 20 of each.
    """
    missing = sorted(set(expected) - set(found))
    unknown = sorted(set(found) - set(expected))
    if missing or unknown:
        raise UserError(
            f"{rule} Missing: {', '.join(missing[:20]) or 'none'}; not known: "
            f"{', '.join(unknown[:20]) or 'none'}"
        )


def bert_tensors(backbone: Any) -> list[BertTensor]:
    """The variables of a BERT, in the order of its weights.

    Args:
        backbone: A `keras_hub.models.BertBackbone`; variables of adapters are left out.

    Raises:
        ValueError: A variable has no name in other libraries.
    """
    own = getattr(backbone, "base_variables", lambda: backbone.weights)()
    return [_tensor(v.path, tuple(v.shape)) for v in own]


def _tensor(path: str, shape: tuple[int, ...]) -> BertTensor:
    google = _OUTSIDE.get(path)
    block, _, rest = path.partition("/")
    if google is None and block.startswith("transformer_layer_"):
        for ours, theirs in _BLOCK.items():
            if rest.startswith(ours):
                number = block.removeprefix("transformer_layer_")
                name = theirs + rest.removeprefix(ours)
                google = f"encoder/layer_{number}/{name}"
    if google is None:
        raise ValueError(f"BERT has no variable {path}.")
    parts = google.replace("layer_", "layer.").split("/")
    parts[-1] = {"kernel": "weight", "gamma": "weight", "beta": "bias"}.get(
        parts[-1], parts[-1]
    )
    if parts[-1].endswith("_embeddings"):
        parts.append("weight")
    return BertTensor(path, shape, f"bert/{google}", ".".join(parts))


def assign(backbone: keras_hub.models.Backbone, values: dict[str, np.ndarray]) -> None:
    """Give each variable its value.

    Args:
        backbone: A plain backbone.
        values: Path -> array, for exactly its variables.
    """
    variables = {v.path: v for v in backbone.weights}
    if set(variables) != set(values):
        raise ValueError(f"not the same: {sorted(set(variables) ^ set(values))}")
    for path, variable in variables.items():
        variable.assign(values[path])
