"""Saved adapters in use: the metrics and predictions of one, or of several together."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from adapters_tf.data.examples import Examples, Rows
from adapters_tf.data.files import FileFormat
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_file import load_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import Features
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.labels import check_texts
from adapters_tf.models.task import Task
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.base import Prepared
from adapters_tf.tasks.build import load_model
from adapters_tf.tasks.file_task import load_file_examples
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.tasks.text_kind import tokenize
from adapters_tf.training.predict import Evaluation, Evaluator, Predictor
from adapters_tf.training.prefix_cache import PrefixCache
from adapters_tf.training.prefix_states import (
    HiddenStates,
    HiddenStatesComputer,
)
from adapters_tf.training.prefix_stores import MemoryStore


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


# Rows whose hidden states are held at a time.
_WINDOW = 1024


@dataclasses.dataclass(frozen=True)
class _Member:
    adapter: Adapter
    task: Task
    model: AdapterModel
    predict: Predictor


class AdaptersTogether:
    """Several text adapters of one base that predict the same rows.

    The blocks below the lowest one that any of them changed are computed once for all
    (AdapterDrop, Rueckle et al. 2021, section 4, with trained LayerNorms above them).
    Tasks of equal form share a model, in which one adapter is set after the other;
    the others have a model, and so a copy of the base, each.

    Args:
        directories: An adapter directory for each name.
        preset: Where to load the base from; by default from where training loaded it.
        batch_size: Rows at a time.

    Attributes:
        tasks: The task of each name.
        num_shared_blocks: How many blocks are computed once for all; may be 0.

    Raises:
        AdapterFileError: if a directory is not usable, or made for another base.
        UserError: if they are not adapters for texts of one base and one length.
    """

    def __init__(
        self,
        directories: Mapping[str, str | os.PathLike[str]],
        preset: str | None = None,
        batch_size: int = 64,
    ) -> None:
        adapters = {name: load_adapter(path) for name, path in directories.items()}
        self.tasks = {name: Task.from_dict(a.task) for name, a in adapters.items()}
        _check(adapters, self.tasks)
        models: list[tuple[AdapterModel, Predictor]] = []
        self._members: dict[str, _Member] = {}
        for name, adapter in adapters.items():
            found = next((m for m in models if _fits(adapter, m[0])), None)
            if found is None:
                base = resolve_preset(preset or adapter.preset)
                model = load_model(directories[name], base)
                found = model, Predictor(model, batch_size)
                models.append(found)
            self._members[name] = _Member(adapter, self.tasks[name], *found)
        self.num_shared_blocks = min(m.backbone.num_fixed_blocks for m, _ in models)
        # With one adapter there is nobody to share with.
        self._computers: dict[int, HiddenStatesComputer] = {}
        if self.num_shared_blocks and len(adapters) > 1:
            self._computers = {
                id(model): HiddenStatesComputer(
                    FrozenPrefix(model, self.num_shared_blocks)
                )
                for model, _ in models
            }
        self._preprocessor = models[0][0].preprocessor

    def predictions(self, rows: Examples) -> dict[str, list[dict[str, Any]]]:
        """Each adapter's records; see `Evaluator.predictions`."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in self._members}
        for start in range(0, len(rows), _WINDOW):
            texts = tuple(column[start : start + _WINDOW] for column in rows.texts)
            for name, records in self._predict(Examples(texts)).items():
                found[name] += records
        return found

    def _predict(self, rows: Examples) -> dict[str, list[dict[str, Any]]]:
        features = tokenize(rows, self._preprocessor)
        states = self._hidden_states(features)
        found = {}
        for name, member in self._members.items():
            member.model.set_adapter(member.adapter, base_is_known=True)
            evaluator = Evaluator(member.predict, member.task)
            inputs = states.get(id(member.model))
            data = Prepared(rows, features, features=inputs)
            found[name] = evaluator.predictions(data)
        return found

    def _hidden_states(self, features: Features) -> dict[int, HiddenStates]:
        """For each model the rows under the shared blocks, which one computes."""
        if not self._computers:
            return {}
        first = next(iter(self._computers.values()))
        # Of this window alone, where its number names a row.
        keys, store = [b"%d" % row for row in range(len(features))], MemoryStore(0)
        for some in first(features, range(len(features))):
            store.put((keys[row], value) for row, value in some)
        return {
            model: HiddenStates(features, keys, store, compute)
            for model, compute in self._computers.items()
        }


def _fits(adapter: Adapter, model: AdapterModel) -> bool:
    try:
        adapter.check_fits(model.get_config_of_adapter())
    except AdapterFileError:
        return False
    return True


def _check(adapters: dict[str, Adapter], tasks: dict[str, Task]) -> None:
    """Refuse adapters that cannot read the same rows."""
    for name, task in tasks.items():
        kind = kind_named(task.kind)
        if not kind.one_vector:
            raise UserError(
                "Adapters that predict together must be for texts. Received: "
                f"{name!r}, for {kind.title}"
            )
    (first, one), *others = adapters.items()
    for name, other in others:
        for what, a, b in (
            ("of one base", one.base_fingerprint, other.base_fingerprint),
            ("for inputs of one length", one.seq_length, other.seq_length),
            (
                "for as many text columns",
                len(tasks[first].text_columns),
                len(tasks[name].text_columns),
            ),
        ):
            if a != b:
                raise UserError(
                    f"Adapters that predict together must be {what}. Received: "
                    f"{first!r} with {a} and {name!r} with {b}"
                )
