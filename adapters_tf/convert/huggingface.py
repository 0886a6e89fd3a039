"""A BERT and its tokenizer from a Hugging Face directory, as a preset."""

import dataclasses
import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.convert.bert import bert_tensors, check_names, check_sizes, read_sizes
from adapters_tf.convert.directories import (
    backbone_class,
    infer_lowercase,
    read_vocabulary,
    write_preset,
)
from adapters_tf.convert.files import read_json, read_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.backbones import ExactGeluBertBackbone

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
    """Convert a Hugging Face BERT to a preset that computes the same.

    keras-hub loads such a directory too, but always with the tanh form of GELU and
    a dropout of 0.1, whatever its configuration says.

    Args:
        input_dir: Directory with `config.json`, `model.safetensors` or
            `pytorch_model.bin`, and `vocab.txt` or `tokenizer.json`.
        output_dir: A new directory.
        say: Called with a line for each decision.
        lowercase: Whether to lower-case texts; by default the tokenizer's files decide,
            see `read_tokenizer`.

    Raises:
        UserError: A file is missing or damaged, the model or tokenizer is not one
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
    """Today's names without a prefix -> the tensors' names in the file."""
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
    check_names(
        [t.hugging_face for t in wanted],
        {*found} - {*skipped},
        "The tensors must be exactly those of a BERT with its pooler.",
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


_CONFIG_FILE, _FILE = "tokenizer_config.json", "tokenizer.json"
# What `tokenizer_config.json` calls a setting -> its name in a `BertNormalizer`.
_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# A step of `tokenizer.json` -> its type for BERT.
_STEPS = {
    "normalizer": "BertNormalizer",
    "pre_tokenizer": "BertPreTokenizer",
    "model": "WordPiece",
}


@dataclasses.dataclass(frozen=True)
class WordPieces:
    """A WordPiece tokenizer.

    Attributes:
        vocabulary: The tokens, by id.
        lowercase: Whether texts are lower-cased.
        strip_accents: Whether accents are removed; `None`: if texts are lower-cased.
    """

    vocabulary: list[str]
    lowercase: bool
    strip_accents: bool | None


def read_tokenizer(
    folder: Path, lowercase: bool | None, say: Callable[[str], None]
) -> WordPieces:
    """Read the tokenizer of a directory, from its two files and the vocabulary.

    Args:
        folder: Directory with `vocab.txt` or `tokenizer.json`.
        lowercase: Whether to lower-case texts. By default `tokenizer_config.json`
            decides, else the normalizer of `tokenizer.json`, else the vocabulary.
        say: Called with a line for each decision.

    Raises:
        UserError: A file is missing or damaged, or the tokenizer differs from
            keras-hub's BERT tokenizer.
    """
    file = read_json(folder / _FILE, missing={})
    config = read_json(folder / _CONFIG_FILE, missing={})
    _check_steps(file, folder / _FILE)
    vocabulary = _vocabulary(folder, file)
    normalizer = _normalizer(file)
    settings: dict[str, bool | None] = {}
    for name, its_name in _NORMALIZER.items():
        own, other = config.get(name), normalizer.get(its_name)
        for value, where in ((own, _CONFIG_FILE), (other, _FILE)):
            if value is not None and not isinstance(value, bool):
                raise UserError(
                    f"{name} must be true or false. Received: {value!r} in "
                    f"{str(folder / where)!r}"
                )
        settings[name] = other if own is None else own
        if own is not None and other is not None and own != other:
            say(f"{name}={own}, as {_CONFIG_FILE} says; {_FILE} says {other}.")
    if settings["tokenize_chinese_chars"] is False:
        raise UserError(
            "tokenize_chinese_chars must be true: keras-hub's tokenizer makes a word "
            "of each Chinese character, and a preset cannot say otherwise. Received: "
            f"tokenize_chinese_chars=False in {str(folder)!r}"
        )
    if lowercase is None:
        lowercase = settings["do_lower_case"]
        if lowercase is None:
            lowercase = infer_lowercase(vocabulary, say)
        elif config.get("do_lower_case") is None:
            do = "are lower-cased" if lowercase else "keep their case"
            say(f"Texts {do}, as the normalizer of {_FILE} says.")
    return WordPieces(vocabulary, bool(lowercase), settings["strip_accents"])


def _check_steps(file: dict[str, Any], path: Path) -> None:
    """Refuse a tokenizer that makes other tokens of the vocabulary than keras-hub's."""
    for step, expected in _STEPS.items():
        for part in _parts(file, step):
            received = part.get("type") if isinstance(part, dict) else part
            if received != expected:
                raise UserError(
                    f"The tokenizer's {step} must be {expected}, as BERT's is: "
                    "keras-hub has no other, and would make other tokens. Received: "
                    f"{json.dumps(received)} in {str(path)!r}. If texts shall be "
                    "tokenized as BERT's all the same, remove that file; vocab.txt is "
                    "enough."
                )


def _normalizer(file: dict[str, Any]) -> dict[str, Any]:
    """The settings of the `BertNormalizer`."""
    found: dict[str, Any] = {}
    for part in _parts(file, "normalizer"):
        found |= part
    return found


def _parts(file: dict[str, Any], step: str) -> list[Any]:
    """The parts of a step; some files write a sequence of one."""
    if step not in file:
        return []
    parts = file[step].get(f"{step}s") if isinstance(file[step], dict) else None
    return parts if isinstance(parts, list) else [file[step]]


def _vocabulary(folder: Path, file: dict[str, Any]) -> list[str]:
    if (folder / "vocab.txt").is_file() or not file:
        return read_vocabulary(folder / "vocab.txt")
    model = file.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict):
        raise UserError(
            "A directory without vocab.txt must have the vocabulary in "
            f"{_FILE}. Received: {str(folder / _FILE)!r}, whose model has none."
        )
    numbers = list(vocabulary.values())
    if any(type(n) is not int for n in numbers) or sorted(numbers) != list(
        range(len(numbers))
    ):
        raise UserError(
            f"The tokens' numbers must be 0, 1, 2 and so on. Received: others in "
            f"{str(folder / _FILE)!r}"
        )
    return sorted(vocabulary, key=vocabulary.__getitem__)
