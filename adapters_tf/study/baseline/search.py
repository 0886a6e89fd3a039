"""The search for the best small text model of a task."""

import dataclasses
import os
import shutil
import time
from pathlib import Path
from typing import Any

from absl import logging

from adapters_tf.data.examples import Examples, rows_as
from adapters_tf.errors import UserError, check_counts
from adapters_tf.io import write_json
from adapters_tf.study.baseline.random_search import random_search
from adapters_tf.study.baseline.search_dir import (
    RESULT_FILE,
    TRIALS_DIR,
    TUNER_DIR,
    claim,
    digest,
    read_record,
)
from adapters_tf.study.baseline.space import Hyperparameters
from adapters_tf.study.baseline.token_tables import token_tables
from adapters_tf.study.baseline.trial import Trial, run_trial
from adapters_tf.tasks.task import Task, TaskData
from adapters_tf.training.evaluate import confusion


@dataclasses.dataclass(frozen=True)
class BaselineSearch:
    """How to search.

    Attributes:
        trials: Number of models that are trained.
        epochs: Most passes of a model over the training rows; it stops earlier when
            its dev metric has not risen for three.
        batch_size: Rows of a batch.
        seed: Of the hyperparameters drawn, and of each model's weights, dropout and
            order of the rows.
        embeddings_file: A file of word vectors in the text format of GloVe, word2vec
            or fastText, as one more source of token vectors; `None` for none.
        max_length: Longest text in tokens; the rest of a longer one is cut off.
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

    The dev rows chose the model and its epoch, so its dev metrics are a little better
    than those on other rows would be.

    Attributes:
        dev: The task's dev metrics, the first one first.
        predictions: For each dev row its class index or score.
        confusion: For classification, which classes were taken for which; see
            `adapters_tf.training.evaluate.confusion`.
        hyperparameters: Those of the best model; see `Hyperparameters`.
        trained_parameters: How many parameters its training could change.
        epoch: The epoch it is of, from 1.
        trials: `hyperparameters` and `score` of all trials, in their order.
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
    """Refuse a task that there are no models for.

    Raises:
        UserError: It is no classification or regression of one or two texts.
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

    The baseline without BERT of table 2 of Houlsby et al. (2019), in small: see
    `choose` for the space. The hyperparameters are drawn by Keras Tuner, a function of
    the seed alone; each trial's result is written to `directory` when it is there. A
    search that was killed draws the same ones again, takes what is known, and goes on
    from there, whatever the state that Keras Tuner itself was left in. A search that
    has finished returns its result at once.

    Args:
        data: The task, classification or regression, of one or two texts.
        preset: The study's base, whose embedding table is one source of token
            vectors; see `resolve_preset`.
        search: How to search.
        directory: Where the search lies; nobody else's. A few small files stay.

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
    """What the result depends on."""
    settings = {"preset": preset, **dataclasses.asdict(search)}
    file = search.embeddings_file
    if file is not None and os.path.isfile(file):
        settings["embeddings_file_bytes"] = os.path.getsize(file)
    rows = [
        [[*map(list, part.texts)], part.references.tolist()]
        for part in (rows_as(Examples, rows) for rows in (data.train, data.dev))
    ]
    return {
        **settings,
        "task": data.task.name,
        "data": digest([data.task.to_dict(), rows]),
    }
