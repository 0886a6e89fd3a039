"""Load task models from presets: a base with a new head, or a saved task."""

import inspect
import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
from absl import logging
from keras_hub.src.utils import preset_utils

from adapters_tf.adapters import AdapterConfig, AdapterMethod
from adapters_tf.errors import UserError
from adapters_tf.models.presets import load_backbone, load_preprocessor, readable_errors
from adapters_tf.models.task_record import check_num_classes
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.models.word_tokens import check_word_pieces
from adapters_tf.preset_names import resolve_preset

_SEQ_LENGTH = 128
_SHORTEST = 3  # [CLS], a token, [SEP]


def load_task(
    cls: Any,
    preset: str,
    load_weights: bool,
    *,
    adapter: AdapterMethod | None,
    tuning: Tuning | str,
    seq_length: int | None,
    labels: Sequence[str] | None,
    **kwargs: Any,
) -> Any:
    """Load a task model; see `AdapterModel.from_preset`.

    Args:
        cls: The class of the model.
        preset: The base's preset, or a directory with a saved task.
        load_weights: Whether to load weights.
        adapter: The adapters, or `None`.
        tuning: What to train.
        seq_length: Longest input, or `None`.
        labels: Names of the classes, or `None`.
        **kwargs: The head's arguments, `backbone`, `preprocessor`, `dtype`.
    """
    path = resolve_preset(preset)
    if "backbone" not in kwargs and holds_task(cls, path):
        others = ("preprocessor", "dtype")
        given = {name: value for name, value in kwargs.items() if name not in others}
        if labels is not None:
            given["labels"] = list(labels)
        own_form = adapter is not None or Tuning.of(tuning) != Tuning()
        if own_form and not given:
            raise UserError(
                "A saved task brings its adapters and tuning. Received: "
                f"adapter={adapter}, tuning={tuning!r} for {preset!r}. Leave them out, "
                "or give the arguments of a new head"
            )
        saved = preset_utils.load_json(path, preset_utils.TASK_CONFIG_FILE)["config"]
        if not own_form and all(saved.get(k) == v for k, v in given.items()):
            return _load_saved(cls, preset, path, load_weights, seq_length, kwargs)
        warn_of_new_head(preset)
    return new_task(
        cls,
        preset,
        load_weights,
        adapter=adapter,
        tuning=tuning,
        seq_length=seq_length,
        labels=labels,
        **kwargs,
    )


def new_task(
    cls: Any,
    preset: str,
    load_weights: bool = True,
    *,
    adapter: AdapterMethod | None = None,
    tuning: Tuning | str = "adapters",
    seq_length: int | None = None,
    labels: Sequence[str] | None = None,
    **kwargs: Any,
) -> Any:
    """A model with a new head on a pretrained base; arguments as `load_task`.

    Raises:
        UserError: if the preset cannot be loaded, has fewer positions than
            `seq_length`, or lacks a pooler or tokenizer that the head needs, or the
            number of classes is not given.
    """
    head = {k: v for k, v in kwargs.items() if k not in ("backbone", "preprocessor")}
    labels = labels if labels is None or len(labels) else None
    dtype = {"dtype": head.pop("dtype")} if "dtype" in head else {}
    parameters = inspect.signature(cls).parameters
    if "num_classes" in parameters and "num_classes" not in head and labels is not None:
        head["num_classes"] = len(labels)
    path = resolve_preset(preset)
    if "num_classes" in parameters and "num_classes" not in head:
        raise UserError(
            f"{cls.__name__} needs num_classes=..., or labels=[...], the names of its "
            f"classes. Received: neither, for {preset!r}, which holds no saved task"
        )
    tuning = Tuning.of(tuning)
    seq_length = _SEQ_LENGTH if seq_length is None else seq_length
    # Before seconds of loading.
    _check_arguments(cls, head, parameters, adapter, tuning, seq_length)
    if "backbone" in kwargs:
        backbone = kwargs["backbone"]
        own = getattr(backbone, "adapter", None)
        if (adapter is not None and adapter != own) or dtype:
            raise UserError(
                "A backbone of your own has its adapters and dtype. Received: "
                f"adapter={adapter}, {dtype or 'no dtype'} beside backbone=. Give them "
                "to the backbone"
            )
    else:
        default = AdapterConfig() if tuning.has_adapters else None
        backbone = load_backbone(
            path, adapter, default_adapter=default, load_weights=load_weights, **dtype
        )
    _check_length(backbone, seq_length)
    if "preprocessor" in kwargs:
        preprocessor = kwargs["preprocessor"]
    else:
        preprocessor = load_preprocessor(path, seq_length)
        if cls.facts.needs_word_pieces:
            what = cls.kind.replace("_", " ").capitalize()
            check_word_pieces(preprocessor.tokenizer, what)
    return cls(
        backbone,
        preprocessor=preprocessor,
        tuning=tuning,
        labels=labels,
        preset=preset,
        **head,
    )


def constructor_arguments(cls: Any) -> set[str]:
    """Return the names of a class's arguments, with those that it hands to its bases.

    Args:
        cls: The class of a task model.
    """
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            kinds = {
                name: parameter.kind
                for name, parameter in inspect.signature(
                    base.__init__
                ).parameters.items()
            }
            several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            names |= {name for name in kinds if kinds[name] not in several} - {"self"}
            if inspect.Parameter.VAR_KEYWORD not in kinds.values():
                break
    return names


def _check_number(seq_length: Any) -> None:
    whole = isinstance(seq_length, Integral) and not isinstance(seq_length, bool)
    if not whole or seq_length < _SHORTEST:
        raise UserError(
            f"seq_length must be a whole number of {_SHORTEST} or more. Received: "
            f"seq_length={seq_length!r}"
        )


def _check_arguments(
    cls: Any,
    head: dict[str, Any],
    parameters: Any,
    adapter: Any,
    tuning: Tuning,
    seq_length: Any,
) -> None:
    """Reject arguments that no base would fit."""
    unknown = sorted(set(head) - constructor_arguments(cls) - {"name", "trainable"})
    if unknown:
        raise TypeError(
            f"{cls.__name__} has other arguments. Received: {', '.join(unknown)}"
        )
    if "num_classes" in parameters:
        check_num_classes(head["num_classes"], getattr(cls, "min_classes", 2))
    if adapter is not None and not isinstance(adapter, AdapterMethod):
        raise UserError(
            "adapter must be a configuration such as adapters_tf.AdapterConfig(64). "
            f"Received: adapter={adapter!r}"
        )
    if adapter is not None and not tuning.has_adapters:
        raise UserError(
            f"tuning={tuning.method!r} is a baseline without adapters. Received: "
            f"adapter={adapter}. Leave it out, or give another tuning"
        )
    _check_number(seq_length)


def _check_length(backbone: Any, seq_length: int) -> None:
    longest = getattr(backbone, "max_sequence_length", None)
    if longest is not None and seq_length > longest:
        raise UserError(
            f"seq_length must be at most {longest}, the number of positions of the "
            f"base. Received: seq_length={seq_length}"
        )


def warn_of_new_head(preset: str) -> None:
    """Say that a saved task's trained head is not loaded.

    Args:
        preset: The task's directory.
    """
    logging.warning(
        "%r holds a trained task. This model starts with a new head on its base and "
        "adapters; from_preset without arguments of a head loads the trained one",
        preset,
    )


def holds_task(cls: Any, path: str) -> bool:
    """Whether a directory holds a saved model of this class.

    Args:
        cls: The class of a task model.
        path: The directory.
    """
    if not os.path.isfile(os.path.join(path, preset_utils.TASK_CONFIG_FILE)):
        return False
    config = preset_utils.load_json(path, preset_utils.TASK_CONFIG_FILE)
    saved = keras.saving.get_registered_object(config.get("registered_name"))
    return saved is not None and issubclass(saved, cls)


def _load_saved(
    cls: Any,
    preset: str,
    path: str,
    load_weights: bool,
    seq_length: int | None,
    kwargs: dict[str, Any],
) -> Any:
    dtype = {k: v for k, v in kwargs.items() if k == "dtype"}
    with readable_errors(preset):
        loader = preset_utils.get_preset_loader(path)
        model = loader.load_task(cls, load_weights, load_task_weights=True, **dtype)
    if "preprocessor" in kwargs:
        model.preprocessor = kwargs["preprocessor"]
    elif model.preprocessor is not None:
        if seq_length is None:
            seq_length = model.preprocessor.sequence_length
        _check_number(seq_length)
        _check_length(model.backbone, seq_length)
        model.preprocessor = load_preprocessor(path, seq_length)
    model.start_tasks()
    return model
