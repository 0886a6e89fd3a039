"""Running the trials of a sweep in one process."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters_tf.data.examples import TaskData, data_digests
from adapters_tf.errors import UserError
from adapters_tf.models.presets import load_backbone
from adapters_tf.models.trainable_set import count_parameters
from adapters_tf.preset_names import resolve_preset
from adapters_tf.study.baseline_search import (
    BaselineSearch,
    check_baseline_task,
    search_baseline,
)
from adapters_tf.study.grid import NO_BERT, Setting
from adapters_tf.study.results import Result
from adapters_tf.study.store import LOG_FILE, RUN_DIR, Store
from adapters_tf.study.sweep import SHARED_FIELDS, Sweep
from adapters_tf.tasks.kinds import majority_baseline
from adapters_tf.training.devices import get_strategy
from adapters_tf.training.model_pool import ModelPool
from adapters_tf.training.prefix_cache import CacheConfig, PrefixCache
from adapters_tf.training.run import run_job
from adapters_tf.training.run_dir import read_metrics
from adapters_tf.training.trainer import LossIsNotFinite


class TrialRunner:
    """Runs trials one after another, and shares models and tokens between them.

    Args:
        sweep: The sweep.
        store: Where its trials are.
        pool: The models; by default a pool that keeps two.
        cache: Where to keep hidden states for all trials.
    """

    def __init__(
        self,
        sweep: Sweep,
        store: Store,
        pool: ModelPool | None = None,
        cache: CacheConfig | None = None,
    ) -> None:
        self._sweep = sweep
        self._store = store
        self._pool = pool or ModelPool()
        self._cache = PrefixCache(cache, shared=True)
        # One strategy for all trials: a model belongs to the one it was made in.
        self._strategy = get_strategy("one_device")
        self._sources = {task.task_name: task for task in sweep.tasks}
        self._data: dict[str, TaskData] = {}

    def check(self) -> None:
        """Read all rows and refuse, before any training, what cannot be trained.

        Raises:
            UserError: A task's files, the base or a setting of the grid is not usable,
                or there are trials on other rows or another base.
        """
        for name in self._sources:
            self.data(name)
        settings = self._sweep.settings()
        for setting in settings:
            if setting.method == NO_BERT:
                check_baseline_task(self.data(setting.task).task)
        backbone = load_backbone(resolve_preset(self._sweep.preset))
        blocks = len(backbone.encoder_blocks)
        for name in ("top_n", "top_layers"):
            largest = max((getattr(s, name) or 0 for s in settings), default=0)
            if largest > blocks:
                raise UserError(
                    f"{name} must be at most {blocks}, the number of encoder blocks of "
                    f"{self._sweep.preset!r}. Received: {name}={largest}"
                )
        rows = {name: data_digests(self.data(name)) for name in self._sources}
        self._store.claim_data(rows, backbone.fingerprint)

    def data(self, task: str) -> TaskData:
        """The rows of a task."""
        if task not in self._data:
            self._data[task] = self._sources[task].load()
        return self._data[task]

    def run(self, setting: Setting) -> Result:
        """Run a trial, or continue it, and save its result.

        A run whose loss becomes NaN or infinite gets the metrics of a prediction that
        ignores the texts, and `about["diverged"]` says so.
        """
        known = self._store.result(setting)
        if known is not None:
            return known
        data = self.data(setting.task)
        directory = self._store.trial_dir(setting)
        directory.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        with _log(directory / LOG_FILE):
            if setting.method == NO_BERT:
                fields = self._run_baseline(setting, data)
            else:
                fields = self._run_job(setting, data)
        result = Result(
            setting=setting,
            metric=next(iter(fields["dev"])),
            score=next(iter(fields["dev"].values())),
            seconds=round(time.perf_counter() - start, 3),
            kind=data.task.kind,
            train_rows=len(data.train),
            dev_rows=len(data.dev),
            **fields,
        )
        self._store.save(result)
        return result

    def _run_job(self, setting: Setting, data: TaskData) -> dict[str, Any]:
        job = self._sweep.job(setting)
        shared = {name: getattr(self._sweep, name) for name in SHARED_FIELDS}
        run = self._store.trial_dir(setting) / RUN_DIR
        try:
            # A run may have ended just before this process was killed.
            metrics = read_metrics(run) or run_job(
                job,
                data,
                str(run),
                {**setting.to_dict(), **shared},
                strategy=self._strategy,
                pool=self._pool,
                save_adapters=setting.method == "adapters",
                cache=self._cache,
            )
        except LossIsNotFinite as error:
            with self._strategy.scope():
                counts = count_parameters(self._pool.get(job, data.task).model)
            baseline = _majority(data)
            metrics = {
                "dev": baseline,
                "majority_baseline": baseline,
                "trainable_parameters": counts.trained,
                "base_parameters": counts.base,
            }
            shared["diverged"] = str(error)
        else:
            speed = metrics["examples_per_second"]
            shared["examples_per_second"] = round(speed, 2)
            # Metrics of further splits, such as test rows, which select nothing.
            shared |= {k: v for k, v in metrics.items() if k.startswith("dev_")}
            shared.pop("dev_rows", None)
        return {
            "dev": metrics["dev"],
            "best": metrics.get("best", {}),
            "majority_baseline": metrics["majority_baseline"],
            "trained_parameters": metrics["trainable_parameters"],
            "base_parameters": metrics["base_parameters"],
            "confusion": metrics.get("confusion"),
            "about": shared,
        }

    def _run_baseline(self, setting: Setting, data: TaskData) -> dict[str, Any]:
        search = BaselineSearch(
            trials=self._sweep.baseline_trials,
            epochs=setting.epochs,
            batch_size=setting.batch_size,
            seed=setting.seed,
            embeddings_file=self._sweep.embeddings_file,
            max_length=self._sweep.seq_length,
        )
        run = self._store.trial_dir(setting) / RUN_DIR
        found = search_baseline(data, self._sweep.preset, search, run)
        return {
            "dev": found.dev,
            "majority_baseline": _majority(data),
            "trained_parameters": found.trained_parameters,
            "base_parameters": 0,
            "confusion": found.confusion,
            "about": {"hyperparameters": found.hyperparameters, "epoch": found.epoch},
        }


def _majority(data: TaskData) -> dict[str, float]:
    return majority_baseline(data.task, data.train.references, data.dev.references)


@contextlib.contextmanager
def _log(path: Path) -> Iterator[None]:
    """Redirect what training prints to a file of the trial."""
    with open(path, "a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        yield
