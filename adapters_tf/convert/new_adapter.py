"""An adapter directory from tensors of another library."""

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.errors import UserError
from adapters_tf.models.adapter import check_tensors
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.task import Task
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.kinds import kind_named


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
