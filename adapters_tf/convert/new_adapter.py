"""An adapter directory from tensors of another library."""

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.errors import UserError
from adapters_tf.models.adapter import check_tensors
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.task import Task
from adapters_tf.tasks.build import build_model


@dataclasses.dataclass(frozen=True)
class ImportedKind:
    """A kind of task in other libraries, whose files do not say all of this.

    Attributes:
        hub_head: The type of its head in AdapterHub.
        metrics: The metrics that it gets.
        text_columns: Default names of its text columns; for tags the number of the
            words' column.
        reads_tokens: Whether its head reads every token: AdapterHub's is one linear
            layer then, with no choice of what it reads.
    """

    hub_head: str
    metrics: tuple[str, ...]
    text_columns: tuple[str, ...] = ("text",)
    reads_tokens: bool = False


KINDS = {
    "classification": ImportedKind("classification", ("accuracy", "f1_macro")),
    # In AdapterHub, a regression is a classification with one label.
    "regression": ImportedKind("classification", ("spearman", "pearson")),
    "multi_label": ImportedKind("multilabel_classification", ("f1_micro", "f1_macro")),
    "question_answering": ImportedKind(
        "question_answering", ("f1", "exact_match"), ("question", "context"), True
    ),
    "token_classification": ImportedKind(
        "tagging", ("entity_f1", "entity_precision", "entity_recall"), ("0",), True
    ),
}


def make_task(
    name: str, kind: str, labels: Sequence[str], text_columns: Sequence[str] | None
) -> Task:
    """Make the task of an adapter whose files do not describe one.

    Args:
        name: The task's name.
        kind: As `Adapter.kind`.
        labels: Names of the classes.
        text_columns: Names of the text columns; see `ImportedKind` for the defaults.

    Raises:
        UserError: There are not one or two columns, or two for questions, or one
            number for tags.
    """
    columns = tuple(text_columns or KINDS[kind].text_columns)
    if kind == "token_classification" and not (
        len(columns) == 1 and re.fullmatch("[0-9]+", columns[0])
    ):
        raise UserError(
            "text_columns of a task for tags must be one number, that of the words' "
            f"column, from 0. Received: text_columns={','.join(columns)}"
        )
    least = 2 if kind == "question_answering" else 1
    if not least <= len(columns) <= 2:
        raise UserError(
            "text_columns must name one or two columns, and two for questions. "
            f"Received: text_columns={','.join(columns)} of a task for {kind}"
        )
    return Task(name, kind, columns, tuple(labels), KINDS[kind].metrics)


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
