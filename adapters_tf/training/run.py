"""A training run, from rows to a saved adapter and its metrics."""

import contextlib
import dataclasses
import io
from pathlib import Path
from typing import Any

import tensorflow as tf

from adapters_tf.data.examples import TaskData, data_digests
from adapters_tf.io import write_json
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.trainable_set import check_base_weights, count_parameters
from adapters_tf.tasks.kinds import kind_named, majority_baseline
from adapters_tf.training.checkpoints import KEPT_CHECKPOINTS
from adapters_tf.training.config import TrainJob
from adapters_tf.training.devices import get_strategy
from adapters_tf.training.loop import TrainLoop
from adapters_tf.training.model_pool import ModelPool
from adapters_tf.training.predict import Evaluator
from adapters_tf.training.prefix_cache import PrefixCache
from adapters_tf.training.run_dir import (
    ADAPTER_DIR,
    BEST_ADAPTER_DIR,
    METRICS_FILE,
    History,
    check_base,
    open_run,
    require_free_space,
)
from adapters_tf.training.workers import (
    is_chief,
    report_lost_workers,
    sum_over_workers,
)

# Each checkpoint holds float32 weights and two optimizer slots, and one more of them is
# being written. There are the last adapter, the best one, and one that replaces it.
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
    """Train, evaluate and save; or continue a run that was stopped.

    While it trains, the run writes `settings.json`, checkpoints, TensorBoard logs,
    `history.json` and `best_adapter/` (of the epoch with the best first dev metric) to
    `output_dir`. At its end it writes `adapter/` (of the last epoch), and last of all
    `metrics.json`.

    Every worker of a `MultiWorkerMirroredStrategy` calls this function with the same
    arguments. All workers must be able to read `output_dir`; the first one writes.

    Args:
        job: What to train.
        data: The task and its rows.
        output_dir: See `open_run`.
        settings: Identifies the run: a call continues only a run of equal settings,
            rows and base.
        overwrite: See `open_run`.
        strategy: From `get_strategy`; by default one device.
        pool: Provides the model, if several runs can share models.
        save_adapters: Whether to write `adapter/` and `best_adapter/`.
        cache: Caches hidden states under the lowest trained block; by default a cache
            for this run alone.

    Returns:
        The content of `metrics.json`.

    Raises:
        UserError: The directory cannot be used, or training diverges.
        TryAgain: The run was stopped from outside, or lost a worker. The same call
            continues it.
    """
    strategy = strategy or get_strategy("one_device")
    chief = is_chief(strategy)
    with contextlib.ExitStack() as stack:
        if chief:
            known = settings | data_digests(data)
            stack.enter_context(open_run(output_dir, known, overwrite))
        else:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(report_lost_workers(strategy))
        # The other workers read the directory once the chief has prepared it.
        sum_over_workers(strategy, 1.0)
        with strategy.scope():
            pool, cache = pool or ModelPool(0), cache or PrefixCache()
            metrics = _run(
                job, data, Path(output_dir), chief, settings, pool, save_adapters, cache
            )
        # No worker leaves while another still needs it.
        sum_over_workers(strategy, 1.0)
    return metrics


def _run(
    job: TrainJob,
    data: TaskData,
    directory: Path,
    chief: bool,
    settings: dict[str, Any],
    pool: ModelPool,
    save_adapters: bool,
    cache: PrefixCache,
) -> dict[str, Any]:
    pooled = pool.get(job, data.task)
    model = pooled.model
    check_base_weights(model)  # Now, and not only when the best adapter is saved.
    if chief:
        check_base(directory, model.backbone.fingerprint)
    counts = count_parameters(model)
    print(f"\n{counts.table()}\n", flush=True)
    if chief:
        require_free_space(directory, _BYTES_PER_TRAINED * counts.trained)
    train, dev = (pool.prepare(rows, job, model) for rows in (data.train, data.dev))
    kind = kind_named(data.task.kind)
    for name, part in (("training", train), ("dev", dev)):
        note = kind.note(part, job.seq_length)
        print(f"{len(part.examples):,} {name} rows, {note}", flush=True)
    cached = cache.rows(pooled.prefix, [train.tokens, dev.tokens], job.config.epochs)
    train, dev = (
        dataclasses.replace(part, features=rows)
        for part, rows in zip((train, dev), cached, strict=True)
    )

    about = settings | {
        "epochs": job.config.epochs,
        "train_rows": len(data.train),
        "dev_rows": len(data.dev),
    }

    def save(name: str, scores: dict[str, float]) -> None:
        if not save_adapters:
            return
        adapter = model.get_adapter(
            task=data.task.to_dict(),
            metrics=scores,
            preset=job.preset,
            seq_length=job.seq_length,
            training=about,
        )
        save_adapter(adapter, directory / name, overwrite=True)

    evaluator = Evaluator(pooled.predict, data.task)
    trainer = pooled.trainer(job, train.features)
    loop = TrainLoop(
        trainer,
        evaluator,
        dev,
        directory,
        save_best=lambda scores: save(BEST_ADAPTER_DIR, scores),
        chief=chief,
    )
    history = loop.run()
    metrics = _metrics(job, data, model, history)
    for name, rows in data.extra_dev.items():
        found = evaluator.metrics(pool.prepare(rows, job, model))
        metrics[f"dev_{name}"] = found
    metrics["steps"] = trainer.total_steps
    metrics["examples_per_second"] = loop.progress.throughput.examples_per_second
    if chief:
        save(ADAPTER_DIR, metrics["dev"])
        write_json(directory / METRICS_FILE, metrics)
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
