"""A Hugging Face directory of a BERT as a base."""

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.convert.bert_config import read_sizes
from adapters_tf.convert.bert_tensors import bert_tensors, check_sizes
from adapters_tf.convert.huggingface_tokenizer import read_tokenizer
from adapters_tf.convert.json_file import read_json
from adapters_tf.convert.preset_directory import backbone_class, write_preset
from adapters_tf.convert.tensor_files import read_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.exact_gelu_bert import ExactGeluBertBackbone

_PREFIX = "bert."
# LayerNorm's gamma and beta were called so before they were weight and bias.
_OLD_NAMES = {
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
}
# Heads of pre-training and of other tasks, and a buffer: no part of the base.
_OUTSIDE = ("cls.", "classifier.", "qa_outputs.", "heads.")
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# What this library's BERT has built in.
_FIXED = {
    "model_type": "bert",
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


def convert_huggingface(
    input_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    say: Callable[[str], None] = lambda text: None,
    *,
    lowercase: bool | None = None,
) -> None:
    """Write a Hugging Face BERT as a preset that computes what it does.

    keras-hub loads such a directory too, but always with the tanh form of GELU and
    a dropout of 0.1, whatever its configuration says.

    Args:
        input_dir: With `config.json`, `model.safetensors` or `pytorch_model.bin`, and
            `vocab.txt` or `tokenizer.json`.
        output_dir: A new directory.
        say: Takes lines on what was decided.
        lowercase: Whether its texts are lower-cased; by default what the directory
            says, see `read_tokenizer`.

    Raises:
        UserError: if a file is missing or damaged, the model or tokenizer is not one
            that this library has, or a tensor is missing, unknown or of another shape.
    """
    folder = Path(input_dir)
    config = read_json(folder / "config.json")
    for name, expected in _FIXED.items():
        if config.get(name, expected) != expected:
            raise UserError(
                f"The base's {name} must be {expected!r}, which this library's BERT "
                f"has built in. Received: {name}={config[name]!r} in {str(folder)!r}"
            )
    cls = backbone_class(config.get("hidden_act", "gelu"), ExactGeluBertBackbone)
    tensors = read_tensors(folder, ["model.safetensors", "pytorch_model.bin"])
    found = _names(tensors)
    exact = "exact GELU" if cls is ExactGeluBertBackbone else "tanh form of GELU"
    say(f"hidden_act={config.get('hidden_act', 'gelu')!r}: the {exact}")
    sizes = read_sizes(config, say)
    tokenizer = read_tokenizer(folder, lowercase, say)
    shapes = {name: tensors[theirs].shape for name, theirs in found.items()}
    check_sizes(sizes, shapes, hugging_face=True)
    write_preset(
        cls,
        sizes,
        lambda backbone: _values(backbone, tensors, found, say),
        tokenizer.vocabulary,
        tokenizer.lowercase,
        output_dir,
        tokenizer.strip_accents,
    )


def _names(tensors: Collection[str]) -> dict[str, str]:
    """Name of today, without a prefix -> the tensor's name in the file."""
    found: dict[str, str] = {}
    for theirs in tensors:
        name = theirs.removeprefix(_PREFIX)
        for old, new in _OLD_NAMES.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        if name in found:
            raise UserError(
                "The checkpoint must hold each tensor once, with or without bert. in "
                "front, and as weight and bias or gamma and beta. Received: "
                f"{found[name]} and {theirs}"
            )
        found[name] = theirs
    return found


def _values(
    backbone: Any,
    tensors: dict[str, np.ndarray],
    found: dict[str, str],
    say: Callable[[str], None],
) -> dict[str, np.ndarray]:
    wanted = bert_tensors(backbone)
    skipped = sorted(
        name for name in found if name.startswith(_OUTSIDE) or name in _BUFFERS
    )
    missing = sorted(t.hugging_face for t in wanted if t.hugging_face not in found)
    unknown = sorted({*found} - {t.hugging_face for t in wanted} - {*skipped})
    if missing or unknown:
        raise UserError(
            "The tensors must be exactly those of a BERT with its pooler. "
            f"Missing: {', '.join(missing[:20]) or 'none'}; not known: "
            f"{', '.join(unknown[:20]) or 'none'}"
        )
    heads = [name for name in skipped if name not in _BUFFERS]
    if heads:
        say(f"Not part of a base, left out: {', '.join(heads)}")
    return {
        t.path: t.from_hugging_face(
            tensors[found[t.hugging_face]], found[t.hugging_face]
        )
        for t in wanted
    }
