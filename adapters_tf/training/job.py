"""One training run, from rows to a saved adapter and its metrics."""

import contextlib
import dataclasses
import io
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from adapters_tf.data.examples import Examples, QuestionExamples
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.layers.adapter_config import AdapterConfig
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.build import build_model
from adapters_tf.models.parameter_table import count_parameters
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.metrics import majority_baseline
from adapters_tf.tasks.task import TaskData
from adapters_tf.training.checkpoints import KEPT_CHECKPOINTS
from adapters_tf.training.config import TrainConfig
from adapters_tf.training.evaluate import Evaluator, Prepared, prepare
from adapters_tf.training.history import History
from adapters_tf.training.loop import Place, TrainLoop
from adapters_tf.training.lost_worker import lost_workers_are_named
from adapters_tf.training.run_dir import (
    ADAPTER_DIR,
    BEST_ADAPTER_DIR,
    METRICS_FILE,
    open_run,
    require_free_space,
    write_json,
)
from adapters_tf.training.strategy import get_strategy, is_chief, sum_over_workers
from adapters_tf.training.trainer import AdapterTrainer

# float32 weights and two optimizer slots in each checkpoint, one more of which
# is being written; the last and the best adapter, and one that replaces it.
_BYTES_PER_TRAINED = 4 * (3 * (KEPT_CHECKPOINTS + 1) + 3)


@dataclasses.dataclass(frozen=True)
class TrainJob:
    """What to train, apart from the rows.

    Attributes:
        preset: The base; see `resolve_preset`.
        tuning: What is trained.
        adapter: The adapters; ignored where `tuning` has none.
        head: Arguments of the head beside the number of classes.
        seq_length: Longest input in tokens.
        precision: `"float32"` or `"mixed_bfloat16"`.
        config: How to train.
    """

    preset: str = "demo"
    tuning: Tuning = Tuning()
    adapter: AdapterConfig = AdapterConfig()
    head: dict[str, Any] = dataclasses.field(default_factory=dict)
    seq_length: int = 128
    precision: str = "float32"
    config: TrainConfig = TrainConfig()


def build_task_model(job: TrainJob, data: TaskData) -> AdapterModel:
    """The model of this job for this task, freshly initialised from the seed."""
    keras.utils.set_random_seed(job.config.seed)
    head = dict(job.head) if data.task.kind != "question_answering" else {}
    if data.task.kind == "classification":
        head["num_classes"] = len(data.task.labels)
    return build_model(
        data.task.kind,
        resolve_preset(job.preset),
        job.adapter if job.tuning.method == "adapters" else None,
        job.tuning,
        job.seq_length,
        head,
        dtype=job.precision,
    )


def run_job(
    job: TrainJob,
    data: TaskData,
    output_dir: str,
    settings: dict[str, Any],
    overwrite: bool = False,
    strategy: tf.distribute.Strategy | None = None,
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
            metrics = _run(job, data, Place(Path(output_dir), chief), settings)
        # Nobody leaves while another still needs it.
        sum_over_workers(strategy, 1.0)
    return metrics


def _run(
    job: TrainJob, data: TaskData, place: Place, settings: dict[str, Any]
) -> dict[str, Any]:
    model = build_task_model(job, data)
    counts = count_parameters(model)
    print(f"\n{counts.table()}\n", flush=True)
    if place.chief:
        require_free_space(place.directory, _BYTES_PER_TRAINED * counts.trained)
    train, dev = (prepare(rows, model.preprocessor) for rows in (data.train, data.dev))
    _report_rows(train, dev, job.seq_length)

    def save(directory: str, scores: dict[str, float]) -> None:
        adapter = model.get_adapter(
            task=data.task.to_dict(),
            metrics=scores,
            preset=job.preset,
            seq_length=job.seq_length,
            training=settings,
        )
        save_adapter(adapter, place.directory / directory, overwrite=True)

    evaluator = Evaluator(model, data.task, job.config.eval_batch_size)
    trainer = AdapterTrainer(model, train.features, job.config)
    loop = TrainLoop(
        trainer, evaluator, dev, place, lambda scores: save(BEST_ADAPTER_DIR, scores)
    )
    history = loop.run()
    metrics = _metrics(job, data, model, evaluator, history)
    metrics["steps"] = trainer.total_steps
    metrics["examples_per_second"] = loop.progress.throughput.examples_per_second
    if place.chief:
        save(ADAPTER_DIR, metrics["dev"])
        write_json(place.directory / METRICS_FILE, metrics)
    return metrics


def _metrics(
    job: TrainJob,
    data: TaskData,
    model: AdapterModel,
    evaluator: Evaluator,
    history: History,
) -> dict[str, Any]:
    counts = count_parameters(model)
    metrics = {
        "task": data.task.name,
        "dev": history.scores,
        "best": history.best,
        "majority_baseline": majority_baseline(
            data.task, _references(data.train), _references(data.dev)
        ),
        "train_rows": len(data.train),
        "dev_rows": len(data.dev),
        "trainable_parameters": counts.trained,
        "base_parameters": counts.base,
        "epochs": job.config.epochs,
        "seed": job.config.seed,
    }
    for name, rows in data.extra_dev.items():
        metrics[f"dev_{name}"] = evaluator.metrics(prepare(rows, model.preprocessor))
    return metrics


def _references(rows: Examples | QuestionExamples) -> Any:
    return rows if isinstance(rows, QuestionExamples) else rows.labels


def _report_rows(train: Prepared, dev: Prepared, seq_length: int) -> None:
    for name, part in (("training", train), ("dev", dev)):
        cut = part.features.num_truncated
        if part.questions is None:
            note = (
                f"{cut:,} truncated to {seq_length} tokens" if cut else "none truncated"
            )
        else:
            note = f"{len(part.features):,} windows of up to {seq_length} tokens"
            if part.questions.num_unlocated:
                note += f"; {part.questions.num_unlocated:,} answers in no window"
        print(f"{len(part.examples):,} {name} rows, {note}", flush=True)
