"""The search for the best small text model of a task."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from absl import logging

from adapters_tf.data.examples import Examples, TaskData, rows_as
from adapters_tf.errors import UserError, check_counts
from adapters_tf.io import read_json, write_json
from adapters_tf.models.task import Task
from adapters_tf.study.baseline_model import Hyperparameters, choose
from adapters_tf.study.baseline_tokens import token_tables
from adapters_tf.study.baseline_trial import Trial, run_trial
from adapters_tf.tasks.classification import confusion


@dataclasses.dataclass(frozen=True)
class BaselineSearch:
    """How to search.

    Attributes:
        trials: Number of models to train.
        epochs: Most passes of a model over the training rows. Training stops after
            three epochs without a better dev metric.
        batch_size: Rows of a batch.
        seed: Seed of the drawn hyperparameters, and of each model's weights, dropout
            and order of the rows.
        embeddings_file: A file of word vectors in the text format of GloVe, word2vec
            or fastText, as a further source of token vectors.
        max_length: Longest text in tokens; longer texts are cut off.
    """

    trials: int = 20
    epochs: int = 20
    batch_size: int = 32
    seed: int = 0
    embeddings_file: str | None = None
    max_length: int = 128

    def __post_init__(self) -> None:
        check_counts(self, "trials", "epochs", "batch_size", "max_length")
        if not 0 <= self.seed < 2**31 - 1:
            raise ValueError(
                f"seed must be from 0 to 2147483646. Received: seed={self.seed}"
            )


@dataclasses.dataclass(frozen=True)
class BaselineResult:
    """The best model that a search found, by the task's first dev metric.

    The dev rows selected the model and its epoch, so its metrics on other rows tend to
    be a little lower.

    Attributes:
        dev: The task's dev metrics, the first one first.
        predictions: For each dev row its class index or score.
        confusion: For classification, the confusion matrix; see
            `adapters_tf.training.predict.confusion`.
        hyperparameters: The model's; see `Hyperparameters`.
        trained_parameters: Number of parameters that training could change.
        epoch: The model's epoch, from 1.
        trials: `hyperparameters` and `score` of all trials, in order.
        seconds: Wall time of all trials and of reading the texts.
    """

    dev: dict[str, float]
    predictions: list[float] | list[int]
    confusion: dict[str, Any] | None
    hyperparameters: dict[str, Any]
    trained_parameters: int
    epoch: int
    trials: list[dict[str, Any]]
    seconds: float


def check_baseline_task(task: Task) -> None:
    """Refuse a task that the search has no models for.

    Raises:
        UserError: The task is not a classification or regression of one or two texts.
    """
    texts = len(task.text_columns)
    if task.kind not in ("classification", "regression") or texts > 2:
        raise UserError(
            "The baseline without BERT, method='no_bert', is for classification and "
            "regression of one or two texts: its models return one class or score. "
            f"Received: the task {task.name!r} for {task.kind.replace('_', ' ')} of "
            f"text_columns={','.join(task.text_columns)}"
        )


def search_baseline(
    data: TaskData,
    preset: str,
    search: BaselineSearch,
    directory: str | os.PathLike[str],
) -> BaselineResult:
    """Search at random for the best small text model of a task.

    This is the baseline without BERT of table 2 of Houlsby et al. (2019), in small; see
    `choose` for the space. Keras Tuner draws the hyperparameters from the seed alone,
    and each trial's result is saved in `directory`. After a kill, the search draws the
    same hyperparameters again, reads the saved results and continues, whatever state
    Keras Tuner's own files are in. A finished search returns its result at once.

    Args:
        data: The task, classification or regression, of one or two texts.
        preset: The study's base, whose embedding table is one source of token
            vectors; see `resolve_preset`.
        search: How to search.
        directory: Directory of this search alone. A few small files stay in it.

    Raises:
        UserError: The task is of another kind, the directory holds another search,
            or the preset or the file of word vectors cannot be read.
    """
    check_baseline_task(data.task)
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    claim(path, _settings(data, preset, search))
    result = read_record(path / RESULT_FILE, BaselineResult)
    if result is None:
        result = _search(data, preset, search, path)
        write_json(path / RESULT_FILE, dataclasses.asdict(result))
    for name in (TRIALS_DIR, TUNER_DIR):
        shutil.rmtree(path / name, ignore_errors=True)
    return result


def _search(
    data: TaskData, preset: str, search: BaselineSearch, path: Path
) -> BaselineResult:
    start = time.monotonic()
    tables = token_tables(data, preset, search.embeddings_file, search.max_length)
    seconds = time.monotonic() - start
    trials: list[Trial] = []

    def score(hyperparameters: Hyperparameters) -> float:
        table = tables[hyperparameters.embedding]
        sizes = (search.epochs, search.batch_size, search.seed)
        known = path / TRIALS_DIR / f"{digest(hyperparameters.to_dict())}.json"
        trial = read_record(known, Trial)
        if trial is None:
            trial = run_trial(data, table, hyperparameters, *sizes)
            known.parent.mkdir(exist_ok=True)
            write_json(known, dataclasses.asdict(trial))
        trials.append(trial)
        logging.info(
            "Baseline of %s: trial %d of %d, %s %.4f after epoch %d of %d, %.1f s",
            data.task.name,
            len(trials),
            search.trials,
            data.task.metrics[0],
            trial.score,
            trial.epoch,
            trial.epochs,
            trial.seconds,
        )
        return trial.score

    random_search(score, [*tables], search.trials, search.seed, path / TUNER_DIR)
    best = max(trials, key=lambda trial: trial.score)
    confused = None
    if data.task.kind == "classification":
        labels = rows_as(Examples, data.dev).references
        confused = confusion(data.task.labels, labels, best.predictions)
    return BaselineResult(
        dev=best.dev,
        predictions=best.predictions,
        confusion=confused,
        hyperparameters=best.hyperparameters,
        trained_parameters=best.trained_parameters,
        epoch=best.epoch,
        trials=[
            {"hyperparameters": t.hyperparameters, "score": t.score} for t in trials
        ],
        seconds=seconds + sum(trial.seconds for trial in trials),
    )


def _settings(data: TaskData, preset: str, search: BaselineSearch) -> dict[str, Any]:
    """Everything that the result depends on, as JSON values."""
    settings = {"preset": preset, **dataclasses.asdict(search)}
    file = search.embeddings_file
    if file is not None and os.path.isfile(file):
        with open(file, "rb") as vectors:
            digest_of_file = hashlib.file_digest(vectors, "sha256").hexdigest()
        settings["embeddings_file_sha256"] = digest_of_file
    rows = [
        [[*map(list, part.texts)], part.references.tolist()]
        for part in (rows_as(Examples, rows) for rows in (data.train, data.dev))
    ]
    return {
        **settings,
        "task": data.task.name,
        "data": digest([data.task.to_dict(), rows]),
    }


def random_search(
    score: Callable[[Hyperparameters], float],
    embeddings: Sequence[str],
    trials: int,
    seed: int,
    directory: Path,
) -> None:
    """Score hyperparameters that Keras Tuner draws.

    The draws depend on the seed alone; each call repeats them and reads no files.

    Args:
        score: Called with each trial's hyperparameters; more is better. Its errors end
            the search.
        embeddings: See `choose`.
        trials: Number of draws.
        seed: Seed of the draws.
        directory: Directory for Keras Tuner's own files, which is emptied first.
    """
    # Keras Tuner adds 1 to its seed with each value that it draws, so that neighbouring
    # seeds would draw almost the same trials, and it takes 0 for no seed.
    seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("score", direction="max"),
        max_trials=trials,
        seed=seed,
    )
    oracle.verbose = 0
    with _no_chief():
        tuner = _Tuner(
            oracle,
            hypermodel=lambda hp: choose(hp, embeddings),
            directory=directory.parent,
            project_name=directory.name,
            overwrite=True,
        )
        try:
            tuner.search(score)
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None


class _Tuner(keras_tuner.Tuner):
    """A tuner whose trials are ours: it builds no model and clears no Keras session."""

    def run_trial(
        self,
        trial: keras_tuner.engine.trial.Trial,
        score: Callable[[Hyperparameters], float],
    ) -> dict[str, float]:
        try:
            return {"score": score(self.hypermodel.build(trial.hyperparameters))}
        except Exception as error:
            # Keras Tuner would count any other error as a bad trial and go on.
            raise keras_tuner.errors.FatalError(str(error)) from error


@contextlib.contextmanager
def _no_chief() -> Iterator[None]:
    """Hide the chief of the sweep from Keras Tuner if this process is its worker.

    Keras Tuner would otherwise ask that chief for the trials of this search.
    """
    names = [name for name in os.environ if name.startswith("KERASTUNER_")]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


SETTINGS_FILE = "search.json"
RESULT_FILE = "baseline.json"
TRIALS_DIR = "trials"
TUNER_DIR = "keras_tuner"


def digest(value: Any) -> str:
    """A short name of a JSON value, unique in practice."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def claim(path: Path, settings: Mapping[str, Any]) -> None:
    """Claim a directory for a search, or continue the search in it.

    Args:
        path: A directory that exists.
        settings: Everything that the result depends on, as JSON values.

    Raises:
        UserError: The directory holds a search with other settings.
    """
    try:
        known: Mapping[str, Any] = {**read_json(path / SETTINGS_FILE)}
    except (OSError, ValueError, TypeError):
        # The rest may be of any search: start afresh.
        (path / RESULT_FILE).unlink(missing_ok=True)
        shutil.rmtree(path / TRIALS_DIR, ignore_errors=True)
        known = settings
    changed = [
        f"{name} was {known.get(name)!r} and is {settings.get(name)!r}"
        for name in sorted({*known, *settings})
        if known.get(name) != settings.get(name)
    ]
    if changed:
        raise UserError(
            f"The directory {str(path)!r} holds a search of other settings "
            f"({'; '.join(changed)}). Give the same settings, or another directory."
        )
    write_json(path / SETTINGS_FILE, settings)


def read_record(path: Path, cls: Callable[..., Any]) -> Any:
    """Read a record that was saved as JSON; `None` if it is missing or damaged."""
    try:
        return cls(**read_json(path))
    except (OSError, ValueError, TypeError):
        return None
