"""Build the model of a task, new or from an adapter directory."""

import os
from typing import Any

from adapters_tf.adapters import AdapterMethod
from adapters_tf.errors import AdapterFileError
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.task_presets import (
    constructor_arguments,
    holds_task,
    new_task,
    warn_of_new_head,
)
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.kinds import kind_named


def build_model(
    kind: str,
    preset: str,
    adapter: AdapterMethod | None = None,
    tuning: Tuning | str = "adapters",
    seq_length: int = 128,
    head: dict[str, Any] | None = None,
    **kwargs: Any,
) -> AdapterModel:
    """Build a model on a pretrained base, ready to train.

    Args:
        kind: Name of the kind of task, such as `"classification"`; see `kind_named`.
        preset: See `load_backbone`.
        adapter: The adapters; by default the preset's own. If it has none, the paper's
            adapters if `tuning` trains adapters, otherwise no adapters.
        tuning: What to train.
        seq_length: Longest input in tokens.
        head: Arguments of the head: `num_classes`, `head_input`, `dropout`,
            `hidden_layer`.
        **kwargs: As `load_backbone`: `dtype`.

    Returns:
        A model of the kind's class, such as an `AdapterTextClassifier`.

    Raises:
        UserError: if the kind is unknown, the preset cannot be loaded, it has fewer
            positions than `seq_length`, or it lacks the pooler or tokenizer that the
            head needs.
    """
    cls = kind_named(kind).model_class
    if holds_task(cls, resolve_preset(preset)):
        warn_of_new_head(preset)
    return new_task(
        cls,
        preset,
        adapter=adapter,
        tuning=tuning,
        seq_length=seq_length,
        **(head or {}),
        **kwargs,
    )


def load_model(
    directory: str | os.PathLike[str], preset: str | None = None, **kwargs: Any
) -> AdapterModel:
    """Load the model of an adapter directory, with its weights.

    Args:
        directory: An adapter directory.
        preset: Where to load the base from; by default the preset used in training.
        **kwargs: As `load_backbone`: `dtype`.

    Returns:
        The model of the task's kind, such as an `AdapterTextClassifier`.

    Raises:
        AdapterFileError: if the directory is unusable, it does not say where the base
            is and you pass no `preset`, or the adapter was trained on another base.
        UserError: if the base cannot be loaded.
    """
    adapter = load_adapter(directory)
    preset = preset or adapter.preset
    if preset is None:
        raise AdapterFileError(
            f"The adapter in {str(directory)!r} does not say where its base is to be "
            "loaded from; pass preset."
        )
    cls = kind_named(adapter.kind).model_class
    if unknown := sorted(set(adapter.head) - constructor_arguments(cls)):
        raise AdapterFileError(
            f"A head of {adapter.kind} has other fields. Received: "
            f"{', '.join(unknown)} in {str(directory)!r}"
        )
    model: AdapterModel = new_task(
        cls,
        preset,
        adapter=adapter.adapter,
        tuning=adapter.tuning,
        seq_length=adapter.seq_length,
        **adapter.head,
        **kwargs,
    )
    model.set_adapter(adapter)
    return model
