"""A saved adapter in use: its metrics and predictions on new rows."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

from adapters_tf.data.examples import Examples, Rows
from adapters_tf.data.files import FileFormat
from adapters_tf.errors import UserError
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.labels import check_texts
from adapters_tf.models.task import Task
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.base import Prepared
from adapters_tf.tasks.build import load_model
from adapters_tf.tasks.file_task import load_file_examples
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.training.evaluate import Evaluation, Evaluator
from adapters_tf.training.predict import Predictor
from adapters_tf.training.prefix_cache.cache import PrefixCache


class LoadedAdapter:
    """An adapter directory with its base, ready to predict.

    Args:
        directory: The adapter directory.
        preset: Where to load the base from; by default from where training
            loaded it.
        batch_size: Rows at a time.
        cache: Where hidden states under the lowest trained block are kept, if they
            are.

    Raises:
        AdapterFileError: if the directory is not usable; and, once it predicts,
            if the base is not the one that the adapter was trained on.
        UserError: if `batch_size` is below 1.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        preset: str | None = None,
        batch_size: int = 64,
        cache: PrefixCache | None = None,
    ) -> None:
        if batch_size < 1:
            raise UserError(
                f"batch_size must be 1 or more. Received: batch_size={batch_size}"
            )
        adapter = load_adapter(directory)
        self.task = Task.from_dict(adapter.task)
        self._directory = directory
        self._preset = preset or adapter.preset
        self._batch_size = batch_size
        self._cache = cache

    @functools.cached_property
    def model(self) -> AdapterModel:
        """The model, loaded when it is needed: rows can be refused first."""
        return load_model(self._directory, resolve_preset(self._preset))

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(Predictor(self.model, self._batch_size), self.task)

    def read(self, path: str, file_format: FileFormat) -> Rows:
        """Rows of a file for this task."""
        return load_file_examples(path, file_format, self.task)

    def prepare(self, rows: Rows) -> Prepared:
        """The rows' tokens, or their hidden states where these are kept."""
        kind = kind_named(self.task.kind)
        prepared = kind.prepare(rows, self.model.preprocessor)
        if self._cache is None:
            return prepared
        (kept,) = self._cache.rows(self._prefix, [prepared.tokens], passes=1)
        return dataclasses.replace(prepared, features=kept)

    @functools.cached_property
    def _prefix(self) -> FrozenPrefix | None:
        return FrozenPrefix.of(self.model)

    def evaluate(self, prepared: Prepared) -> Evaluation:
        """See `Evaluator.evaluate`."""
        return self._evaluator.evaluate(prepared)

    def predictions(self, rows: Rows) -> list[dict[str, Any]]:
        """See `Evaluator.predictions`."""
        return self._evaluator.predictions(self.prepare(rows))

    def metrics(self, rows: Rows) -> dict[str, float]:
        """See `Evaluator.metrics`."""
        return self.evaluate(self.prepare(rows)).metrics


def predict_texts(
    directory: str | os.PathLike[str],
    texts: Sequence[Sequence[str]],
    preset: str | None = None,
) -> list[dict[str, Any]]:
    """Predictions of a saved adapter for texts in memory.

    Args:
        directory: The adapter directory of a classification or regression task.
        texts: One sequence of N texts, which may be empty, for each text column of the
            task.
        preset: As `LoadedAdapter`.

    Returns:
        N records; see `Evaluator.predictions`.

    Raises:
        DataError: if a text is missing or not a text; names the row.
    """
    columns = tuple(list(column) for column in texts)
    check_texts(columns, may_be_empty=True)
    rows = Examples(columns)
    return LoadedAdapter(directory, preset).predictions(rows)
