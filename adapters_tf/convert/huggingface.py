"""A Hugging Face directory of a BERT as a base."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.convert.bert_config import read_sizes
from adapters_tf.convert.bert_tensors import bert_tensors
from adapters_tf.convert.json_file import read_json
from adapters_tf.convert.preset_directory import (
    backbone_class,
    read_vocabulary,
    write_preset,
)
from adapters_tf.convert.tensor_files import read_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.exact_gelu_bert import ExactGeluBertBackbone

_PREFIX = "bert."
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
) -> None:
    """Write a Hugging Face BERT as a preset that computes what it does.

    keras-hub loads such a directory too, but always with the tanh form of GELU and
    a dropout of 0.1, whatever its configuration says.

    Args:
        input_dir: With `config.json`, `model.safetensors` or `pytorch_model.bin`, and
            `vocab.txt` or `tokenizer.json`.
        output_dir: A new directory.
        say: Takes lines on what was decided.

    Raises:
        UserError: if a file is missing or damaged, the model is not a BERT that this
            library has, or a tensor is missing, unknown or of another shape.
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
    tokenizer = read_json(folder / "tokenizer_config.json", missing={})
    exact = "exact GELU" if cls is ExactGeluBertBackbone else "tanh form of GELU"
    say(f"hidden_act={config.get('hidden_act', 'gelu')!r}: the {exact}")
    write_preset(
        cls,
        read_sizes(config, say),
        lambda backbone: _values(backbone, tensors, say),
        _vocabulary(folder),
        bool(tokenizer.get("do_lower_case", True)),
        output_dir,
        tokenizer.get("strip_accents"),
    )


def _values(
    backbone: Any, tensors: dict[str, np.ndarray], say: Callable[[str], None]
) -> dict[str, np.ndarray]:
    found = {name.removeprefix(_PREFIX): name for name in tensors}
    # LayerNorm's gamma and beta were called so before they were weight and bias.
    for old, new in (("LayerNorm.gamma", "weight"), ("LayerNorm.beta", "bias")):
        for name in [name for name in found if name.endswith(old)]:
            found[name.rpartition(".")[0] + f".{new}"] = found.pop(name)
    wanted = bert_tensors(backbone)
    skipped = sorted(
        name for name in found if name.startswith(_OUTSIDE) or name in _BUFFERS
    )
    missing = sorted(t.hugging_face for t in wanted if t.hugging_face not in found)
    unknown = sorted({*found} - {t.hugging_face for t in wanted} - {*skipped})
    if missing or unknown or len(found) != len(tensors):
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


def _vocabulary(folder: Path) -> list[str]:
    if (folder / "vocab.txt").is_file() or not (folder / "tokenizer.json").is_file():
        return read_vocabulary(folder / "vocab.txt")
    model = read_json(folder / "tokenizer.json").get("model", {})
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if model.get("type") != "WordPiece" or not isinstance(vocabulary, dict):
        raise UserError(
            "The tokenizer must be BERT's WordPiece. Received: "
            f"{json.dumps(model.get('type'))} in {str(folder / 'tokenizer.json')!r}"
        )
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise UserError(
            f"The tokens' numbers must be 0, 1, 2 and so on. Received: others in "
            f"{str(folder / 'tokenizer.json')!r}"
        )
    return sorted(vocabulary, key=vocabulary.__getitem__)
