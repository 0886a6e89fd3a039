"""The tokenizer of a Hugging Face BERT."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters_tf.convert.json_file import read_json
from adapters_tf.convert.preset_directory import infer_lowercase, read_vocabulary
from adapters_tf.errors import UserError

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
        strip_accents: Whether accents are removed; `None` for where texts are
            lower-cased.
    """

    vocabulary: list[str]
    lowercase: bool
    strip_accents: bool | None


def read_tokenizer(
    folder: Path, lowercase: bool | None, say: Callable[[str], None]
) -> WordPieces:
    """The tokenizer of a directory, from its two files and the vocabulary.

    Args:
        folder: With `vocab.txt` or `tokenizer.json`.
        lowercase: Whether texts are lower-cased; by default what
            `tokenizer_config.json` says, or else the normalizer of `tokenizer.json`,
            or else what the vocabulary looks like.
        say: Takes lines on what was decided.

    Raises:
        UserError: if a file is missing or damaged, or the tokenizer is another one
            than keras-hub's for BERT.
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
    """What a step consists of; some files write a sequence of one."""
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
