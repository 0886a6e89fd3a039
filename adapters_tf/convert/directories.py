"""The directories that conversions write: an adapter's, and a base's for `--preset`."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.convert.bert import assign
from adapters_tf.errors import UserError
from adapters_tf.export.saving import new_directory
from adapters_tf.models.adapter import check_tensors
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.backbones import TANH_GELU
from adapters_tf.models.fingerprint import base_fingerprint
from adapters_tf.models.presets import load_backbone, load_preprocessor
from adapters_tf.models.task import Task
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.kinds import kind_named

# The tokens that keras-hub's BertTokenizer requires.
_SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")


def backbone_class(
    hidden_act: Any, plain_gelu: type[keras_hub.models.BertBackbone]
) -> type[keras_hub.models.BertBackbone]:
    """The class of BERT that computes a checkpoint's activation.

    Args:
        hidden_act: `hidden_act` of the checkpoint's configuration.
        plain_gelu: The class for `"gelu"`, which is the exact or the tanh form.

    Raises:
        UserError: The activation is not a GELU.
    """
    if hidden_act == "gelu":
        return plain_gelu
    if hidden_act in TANH_GELU:
        return keras_hub.models.BertBackbone
    raise UserError(
        f"hidden_act must be gelu or one of {', '.join(TANH_GELU)}: the bases here "
        f"compute the exact GELU or its tanh form. Received: hidden_act={hidden_act!r}"
    )


def write_preset(
    cls: type[keras_hub.models.BertBackbone],
    sizes: dict[str, Any],
    values: Any,
    vocabulary: list[str],
    lowercase: bool,
    output_dir: str | os.PathLike[str],
    strip_accents: bool | None = None,
) -> None:
    """Write a BERT and its tokenizer, read them back and compare.

    Args:
        cls: `keras_hub.models.BertBackbone` or `ExactGeluBertBackbone`.
        sizes: The arguments of `cls`.
        values: Takes the backbone and returns path -> array for its variables.
        vocabulary: The tokens, by id.
        lowercase: Whether the tokenizer lower-cases texts.
        output_dir: A new directory.
        strip_accents: Whether the tokenizer removes accents, if the checkpoint says.

    Raises:
        UserError: The sizes, values or vocabulary do not fit, the directory exists
            or cannot be written.
    """
    check_vocabulary(vocabulary, sizes["vocabulary_size"])
    with new_directory(output_dir) as directory:
        backbone = cls(**sizes)
        assign(backbone, values(backbone))
        backbone.save_to_preset(str(directory))
        options = {} if strip_accents is None else {"strip_accents": strip_accents}
        tokenizer = keras_hub.models.BertTokenizer(
            vocabulary, lowercase=lowercase, **options
        )
        tokenizer.save_to_preset(str(directory))
        if strip_accents is False:
            # Otherwise `load_preprocessor` strips them, as an uncased BERT does.
            text = '{"do_lower_case": %s, "strip_accents": false}\n'
            path = directory / "tokenizer_config.json"
            path.write_text(text % str(lowercase).lower(), encoding="utf-8")
        _check(directory, backbone, vocabulary)


def _check(directory: Path, backbone: Any, vocabulary: list[str]) -> None:
    read = load_backbone(str(directory), dtype="float32")
    tokenizer = load_preprocessor(str(directory), 8).tokenizer
    if (
        read.fingerprint != base_fingerprint(backbone)
        or tokenizer.get_vocabulary() != vocabulary
    ):
        raise RuntimeError(f"{directory} does not hold what was written to it.")


def check_vocabulary(vocabulary: list[str], size: int) -> None:
    """Refuse a vocabulary that does not fit a BERT of this size.

    Raises:
        UserError: The vocabulary has more tokens than the base has embeddings, has a
            token twice, or lacks one that keras-hub's BERT tokenizer needs.
    """
    needed = [t for t in _SPECIAL_TOKENS if t not in vocabulary]
    twice = len(set(vocabulary)) != len(vocabulary)
    if len(vocabulary) > size or needed or twice:
        reason = f"without {', '.join(needed)}" if needed else ""
        reason = reason or ("with a token twice" if twice else "")
        raise UserError(
            f"The vocabulary must have at most the {size} tokens that the base has "
            f"embeddings of, each once, with {', '.join(_SPECIAL_TOKENS)}. Received: "
            f"{len(vocabulary)} tokens {reason}".rstrip()
        )


def read_vocabulary(path: Path) -> list[str]:
    """Read the tokens of a `vocab.txt`, in the order of their ids.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(
            "The vocabulary, a text file with a token in each line, could not be "
            f"read: {error}"
        ) from error
    # splitlines would also split at characters that are tokens.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def infer_lowercase(vocabulary: list[str], say: Callable[[str], None]) -> bool:
    """Whether a vocabulary is of lower-cased texts.

    It is if lower-casing changes fewer than 1% of the tokens whose letters have two
    cases. Thousands of a cased BERT's tokens change, and none of bert-base-uncased's.

    Args:
        vocabulary: The tokens.
        say: Called with a line on the result.
    """
    words = [t for t in vocabulary if not (t.startswith("[") and t.endswith("]"))]
    capital = sum(token != token.lower() for token in words)
    small = sum(token == token.lower() != token.upper() for token in words)
    lowercase = 100 * capital < capital + small or not capital
    say(
        "Texts are lower-cased, as the vocabulary is."
        if lowercase
        else "Texts keep their case: the vocabulary has capital letters."
    )
    return lowercase


def make_task(
    name: str, kind: str, labels: Sequence[str], text_columns: Sequence[str] | None
) -> Task:
    """Make the task of an adapter whose files do not describe one.

    Args:
        name: The task's name.
        kind: As `Adapter.kind`.
        labels: Names of the classes.
        text_columns: Names of the text columns; by default the kind's.

    Raises:
        UserError: There are not one or two columns, or two for questions, or one
            number for tags.
    """
    about = kind_named(kind)
    columns = tuple(text_columns or about.text_columns)
    if about.layout == "words" and not (
        len(columns) == 1 and re.fullmatch("[0-9]+", columns[0])
    ):
        raise UserError(
            "text_columns of a task for tags must be one number, that of the words' "
            f"column, from 0. Received: text_columns={','.join(columns)}"
        )
    least = 2 if about.layout == "question" else 1
    if not least <= len(columns) <= 2:
        raise UserError(
            "text_columns must name one or two columns, and two for questions. "
            f"Received: text_columns={','.join(columns)} of a task for {kind}"
        )
    return Task(name, kind, columns, tuple(labels), about.metrics)


def new_model(
    task: Task,
    preset: str,
    adapter: AdapterConfig,
    head: dict[str, Any],
    seq_length: int,
    tuning: str,
) -> AdapterModel:
    """Build the model that the tensors go to, in float32.

    Args:
        task: The task.
        preset: See `load_backbone`, or `"demo"`.
        adapter: The adapters.
        head: Arguments of the head.
        seq_length: Longest input, in tokens.
        tuning: What was trained: `"adapters"` or `"adapters_only"`.

    Raises:
        UserError: The base cannot be loaded or has too few positions.
    """
    return build_model(
        task.kind,
        resolve_preset(preset),
        adapter,
        tuning,
        seq_length,
        head,
        dtype="float32",
    )


def save_new_adapter(
    model: AdapterModel,
    values: dict[str, np.ndarray],
    task: Task,
    output_dir: str | os.PathLike[str],
    *,
    preset: str,
    seq_length: int,
    training: dict[str, Any],
    overwrite: bool = False,
) -> None:
    """Assign values to the task's variables and save them.

    Args:
        model: From `new_model`.
        values: Path -> array, for exactly the variables that the model trains.
        task: The task.
        output_dir: The adapter directory.
        preset: Where the base was loaded from.
        seq_length: Longest input, in tokens.
        training: Facts on the training.
        overwrite: As for `save_adapter`.

    Raises:
        AdapterFileError: A value is missing, unknown or of another shape, or the
            directory exists or cannot be written.
    """
    variables = {v.path: v for v in model.trainable_variables}
    check_tensors(values, {path: tuple(v.shape) for path, v in variables.items()})
    for path, variable in variables.items():
        variable.assign(values[path])
    adapter = model.get_adapter(
        preset=preset, seq_length=seq_length, task=task.to_dict(), training=training
    )
    save_adapter(adapter, output_dir, overwrite)
