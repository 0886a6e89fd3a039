"""One training run, from rows to a saved adapter and its metrics."""

import contextlib
import dataclasses
import io
from pathlib import Path
from typing import Any

import tensorflow as tf

from adapters_tf.io import write_json
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.parameter_table import count_parameters
from adapters_tf.tasks.metrics import majority_baseline
from adapters_tf.tasks.task import TaskData
from adapters_tf.training.checkpoints import KEPT_CHECKPOINTS
from adapters_tf.training.config import TrainJob
from adapters_tf.training.evaluate import Evaluator, Prepared
from adapters_tf.training.history import History
from adapters_tf.training.loop import Place, TrainLoop
from adapters_tf.training.lost_worker import lost_workers_are_named
from adapters_tf.training.model_pool import ModelPool
from adapters_tf.training.prefix_cache.cache import PrefixCache
from adapters_tf.training.run_dir import (
    ADAPTER_DIR,
    BEST_ADAPTER_DIR,
    METRICS_FILE,
    open_run,
    require_free_space,
)
from adapters_tf.training.strategy import get_strategy, is_chief, sum_over_workers

# float32 weights and two optimizer slots in each checkpoint, one more of which
# is being written; the last and the best adapter, and one that replaces it.
_BYTES_PER_TRAINED = 4 * (3 * (KEPT_CHECKPOINTS + 1) + 3)


def run_job(
    job: TrainJob,
    data: TaskData,
    output_dir: str,
    settings: dict[str, Any],
    overwrite: bool = False,
    strategy: tf.distribute.Strategy | None = None,
    pool: ModelPool | None = None,
    save_adapters: bool = True,
    cache: PrefixCache | None = None,
) -> dict[str, Any]:
    """Train, evaluate and save.

    Writes `settings.json`, checkpoints, TensorBoard logs, `history.json` and
    `best_adapter/` (the epoch with the best first dev metric), and at the end
    `adapter/` (the last epoch) and, last of all, `metrics.json` to `output_dir`.
    Every worker of a `MultiWorkerMirroredStrategy` calls it, with the same
    arguments and an `output_dir` that all of them can read; the first one writes.

    Args:
        job: What to train.
        data: The task and its rows.
        output_dir: See `open_run`.
        settings: Identifies the run: only a run of equal settings is continued.
        overwrite: See `open_run`.
        strategy: From `get_strategy`; by default one device.
        pool: Where to take the model from, if more runs are to come.
        save_adapters: Without, `adapter/` and `best_adapter/` are not written.
        cache: Keeps hidden states under the lowest trained block; by default one of
            this run's own.

    Returns:
        What is in `metrics.json`.

    Raises:
        UserError: if the directory cannot be used, or training diverges.
        TryAgain: if the run was stopped from outside, or a worker was lost; the
            same call goes on from there.
    """
    strategy = strategy or get_strategy("one_device")
    chief = is_chief(strategy)
    with contextlib.ExitStack() as stack:
        if chief:
            stack.enter_context(open_run(output_dir, settings, overwrite))
        else:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(lost_workers_are_named(strategy))
        # The others look at the directory when the chief has made it what it is.
        sum_over_workers(strategy, 1.0)
        with strategy.scope():
            place = Place(Path(output_dir), chief)
            pool, cache = pool or ModelPool(0), cache or PrefixCache()
            metrics = _run(job, data, place, settings, pool, save_adapters, cache)
        # Nobody leaves while another still needs it.
        sum_over_workers(strategy, 1.0)
    return metrics


def _run(
    job: TrainJob,
    data: TaskData,
    place: Place,
    settings: dict[str, Any],
    pool: ModelPool,
    save_adapters: bool,
    cache: PrefixCache,
) -> dict[str, Any]:
    pooled = pool.get(job, data.task)
    model = pooled.model
    counts = count_parameters(model)
    print(f"\n{counts.table()}\n", flush=True)
    if place.chief:
        require_free_space(place.directory, _BYTES_PER_TRAINED * counts.trained)
    train, dev = (pool.prepare(rows, job, model) for rows in (data.train, data.dev))
    _report_rows(train, dev, job.seq_length)
    held = cache.rows(pooled.prefix, [train.tokens, dev.tokens], job.config.epochs)
    train, dev = (
        dataclasses.replace(part, features=kept)
        for part, kept in zip((train, dev), held, strict=True)
    )

    about = settings | {
        "epochs": job.config.epochs,
        "train_rows": len(data.train),
        "dev_rows": len(data.dev),
    }

    def save(directory: str, scores: dict[str, float]) -> None:
        if not save_adapters:
            return
        adapter = model.get_adapter(
            task=data.task.to_dict(),
            metrics=scores,
            preset=job.preset,
            seq_length=job.seq_length,
            training=about,
        )
        save_adapter(adapter, place.directory / directory, overwrite=True)

    evaluator = Evaluator(pooled.predict, data.task)
    trainer = pooled.trainer(job, train.features)
    loop = TrainLoop(
        trainer, evaluator, dev, place, lambda scores: save(BEST_ADAPTER_DIR, scores)
    )
    history = loop.run()
    metrics = _metrics(job, data, model, history)
    for name, rows in data.extra_dev.items():
        found = evaluator.metrics(pool.prepare(rows, job, model))
        metrics[f"dev_{name}"] = found
    metrics["steps"] = trainer.total_steps
    metrics["examples_per_second"] = loop.progress.throughput.examples_per_second
    if place.chief:
        save(ADAPTER_DIR, metrics["dev"])
        write_json(place.directory / METRICS_FILE, metrics)
    return metrics


def _metrics(
    job: TrainJob, data: TaskData, model: AdapterModel, history: History
) -> dict[str, Any]:
    counts = count_parameters(model)
    last, best = history.epochs[-1], history.best
    metrics = {
        "task": data.task.name,
        "dev": last["dev"],
        "best": {name: best[name] for name in ("epoch", "step", "dev")},
        "majority_baseline": majority_baseline(
            data.task, data.train.references, data.dev.references
        ),
        "train_rows": len(data.train),
        "dev_rows": len(data.dev),
        "trainable_parameters": counts.trained,
        "base_parameters": counts.base,
        "epochs": job.config.epochs,
        "seed": job.config.seed,
    }
    if "confusion" in last:
        metrics["confusion"] = last["confusion"]
    return metrics


def _report_rows(train: Prepared, dev: Prepared, seq_length: int) -> None:
    for name, part in (("training", train), ("dev", dev)):
        cut = part.tokens.num_truncated
        if part.words is not None:
            note = f"{cut:,} cut to {seq_length} tokens" if cut else "none truncated"
            if part.words.num_unread:
                note += f"; {part.words.num_unread:,} words of them count as O"
        elif part.questions is None:
            note = (
                f"{cut:,} truncated to {seq_length} tokens" if cut else "none truncated"
            )
        else:
            note = f"{len(part.features):,} windows of up to {seq_length} tokens"
            if part.questions.num_unlocated:
                note += f"; {part.questions.num_unlocated:,} answers in no window"
        print(f"{len(part.examples):,} {name} rows, {note}", flush=True)
