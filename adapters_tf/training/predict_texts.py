"""A saved adapter in use: its metrics and predictions on new rows."""

import functools
import os
from collections.abc import Sequence
from typing import Any

from adapters_tf.data.examples import Examples, QuestionExamples
from adapters_tf.data.files import FileFormat
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.build import load_model
from adapters_tf.tasks.file_task import load_file_examples
from adapters_tf.tasks.task import Task
from adapters_tf.training.evaluate import Evaluator, prepare


class LoadedAdapter:
    """An adapter directory with its base, ready to predict.

    Args:
        directory: The adapter directory.
        preset: Where to load the base from; by default from where training
            loaded it.
        batch_size: Rows at a time.

    Raises:
        AdapterFileError: if the directory is not usable; and, once it predicts,
            if the base is not the one that the adapter was trained on.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        preset: str | None = None,
        batch_size: int = 64,
    ) -> None:
        adapter = load_adapter(directory)
        self.task = Task.from_dict(adapter.task)
        self._directory = directory
        self._preset = preset or adapter.preset
        self._batch_size = batch_size

    @functools.cached_property
    def _model(self) -> AdapterModel:
        # Loaded when it is needed, so that rows can be read and refused first.
        return load_model(self._directory, resolve_preset(self._preset))

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self._model, self.task, self._batch_size)

    def read(self, path: str, file_format: FileFormat) -> Examples | QuestionExamples:
        """Rows of a file for this task."""
        return load_file_examples(path, file_format, self.task)

    def predictions(self, rows: Examples | QuestionExamples) -> list[dict[str, Any]]:
        """See `Evaluator.predictions`."""
        return self._evaluator.predictions(prepare(rows, self._model.preprocessor))

    def metrics(self, rows: Examples | QuestionExamples) -> dict[str, float]:
        """See `Evaluator.metrics`."""
        return self._evaluator.metrics(prepare(rows, self._model.preprocessor))


def predict_texts(
    directory: str | os.PathLike[str],
    texts: Sequence[Sequence[str]],
    preset: str | None = None,
) -> list[dict[str, Any]]:
    """Predictions of a saved adapter for texts in memory.

    Args:
        directory: The adapter directory of a classification or regression task.
        texts: One sequence of N texts for each text column of the task.
        preset: As `LoadedAdapter`.

    Returns:
        N records; see `Evaluator.predictions`.
    """
    rows = Examples(tuple(list(column) for column in texts))
    return LoadedAdapter(directory, preset).predictions(rows)
