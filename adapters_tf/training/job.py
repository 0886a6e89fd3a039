"""One training run, from rows to a saved adapter and its metrics."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import orbit
import tensorflow as tf

from adapters_tf.data.examples import Examples, QuestionExamples
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.errors import UserError
from adapters_tf.layers.adapter_config import AdapterConfig
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.build import build_model
from adapters_tf.models.parameter_table import count_parameters
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.metrics import majority_baseline
from adapters_tf.tasks.task import TaskData
from adapters_tf.training.config import TrainConfig
from adapters_tf.training.evaluate import Evaluator, Prepared, prepare
from adapters_tf.training.progress import Progress, silent
from adapters_tf.training.run_dir import (
    ADAPTER_DIR,
    CHECKPOINT_DIR,
    METRICS_FILE,
    open_run,
    require_free_space,
    write_json,
)
from adapters_tf.training.strategy import get_strategy
from adapters_tf.training.trainer import AdapterTrainer

_KEPT_CHECKPOINTS = 2
# float32 weights and two optimizer slots in each checkpoint, one more of which
# is being written; and the adapter beside the one that it replaces.
_BYTES_PER_TRAINED = 4 * (3 * (_KEPT_CHECKPOINTS + 1) + 2)


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
        distribution_strategy: See `get_strategy`.
        config: How to train.
    """

    preset: str = "demo"
    tuning: Tuning = Tuning()
    adapter: AdapterConfig = AdapterConfig()
    head: dict[str, Any] = dataclasses.field(default_factory=dict)
    seq_length: int = 128
    precision: str = "float32"
    distribution_strategy: str = "one_device"
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
) -> dict[str, Any]:
    """Train, evaluate and save.

    Writes `settings.json`, checkpoints, TensorBoard logs, `adapter/` and, last
    of all, `metrics.json` to `output_dir`.

    Args:
        job: What to train.
        data: The task and its rows.
        output_dir: See `open_run`.
        settings: Identifies the run: only a run of equal settings is continued.
        overwrite: See `open_run`.

    Returns:
        What is in `metrics.json`.
    """
    with open_run(output_dir, settings, overwrite) as directory:
        strategy = get_strategy(job.distribution_strategy)
        with strategy.scope():
            model = build_task_model(job, data)
            counts = count_parameters(model)
            print(f"\n{counts.table()}\n", flush=True)
            require_free_space(directory, _BYTES_PER_TRAINED * counts.trained)
            train, dev = (
                prepare(rows, model.preprocessor) for rows in (data.train, data.dev)
            )
            _report_rows(train, dev, job.seq_length)
            evaluator = Evaluator(model, data.task, job.config.eval_batch_size)
            trainer = AdapterTrainer(model, train.features, job.config)
            speed, scores = _train(trainer, evaluator, dev, directory)
        metrics = _metrics(job, data, model, trainer, evaluator, scores, speed)
        adapter = model.get_adapter(
            task=data.task.to_dict(),
            metrics=metrics["dev"],
            preset=job.preset,
            seq_length=job.seq_length,
            training=settings,
        )
        save_adapter(adapter, directory / ADAPTER_DIR, overwrite=True)
        write_json(directory / METRICS_FILE, metrics)
    return metrics


def _metrics(
    job: TrainJob,
    data: TaskData,
    model: AdapterModel,
    trainer: AdapterTrainer,
    evaluator: Evaluator,
    scores: dict[str, float],
    speed: float,
) -> dict[str, Any]:
    counts = count_parameters(model)
    metrics = {
        "task": data.task.name,
        "dev": scores,
        "majority_baseline": majority_baseline(
            data.task, _references(data.train), _references(data.dev)
        ),
        "train_rows": len(data.train),
        "dev_rows": len(data.dev),
        "trainable_parameters": counts.trained,
        "base_parameters": counts.base,
        "steps": trainer.total_steps,
        "examples_per_second": speed,
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


def _train(
    trainer: AdapterTrainer, evaluator: Evaluator, dev: Prepared, directory: Path
) -> tuple[float, dict[str, float]]:
    """Train to the last step; returns examples/s and the last dev metrics."""
    config = trainer.config
    progress = Progress(trainer)
    checkpoint = trainer.checkpoint()
    checkpoint.throughput = progress.throughput
    manager = tf.train.CheckpointManager(
        checkpoint,
        str(directory / CHECKPOINT_DIR),
        max_to_keep=_KEPT_CHECKPOINTS,
        step_counter=trainer.global_step,
        checkpoint_interval=config.checkpoint_interval,
    )
    _restore(manager)
    with silent():
        controller = orbit.Controller(
            global_step=trainer.global_step,
            trainer=trainer,
            steps_per_loop=config.steps_per_loop,
            checkpoint_manager=manager,
            summary_dir=str(directory / "tensorboard"),
            summary_interval=config.steps_per_loop,
            train_actions=[progress.update],
        )
    done = int(trainer.global_step.numpy())
    if done:
        print(f"continuing from step {done} of {trainer.total_steps}", flush=True)
    scores: dict[str, float] = {}
    for epoch in range(done // trainer.steps_per_epoch, config.epochs):
        progress.begin(epoch)
        with silent():
            controller.train(steps=(epoch + 1) * trainer.steps_per_epoch)
        scores = evaluator.metrics(dev)
        progress.end(scores)
    # A run that was stopped after its last checkpoint has no epoch left.
    speed = progress.throughput.examples_per_second
    return speed, scores or evaluator.metrics(dev)


def _restore(manager: tf.train.CheckpointManager) -> None:
    path = manager.latest_checkpoint
    if path is None:
        return
    try:
        manager.checkpoint.restore(path).assert_consumed()
    except Exception as error:
        # TensorFlow raises many types for a truncated or foreign checkpoint.
        raise UserError(
            f"The checkpoint {path} cannot be read: {error}\nDelete the files "
            f"{path}.* and the line that names them in the file `checkpoint` beside "
            "them to go on from the one before, or give --overwrite to start anew."
        ) from error
