"""One trial of the search: a small text model, trained and scored."""

import dataclasses
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from adapters_tf.data.batches import eval_batches, train_batches
from adapters_tf.data.examples import Examples, TaskData, rows_as
from adapters_tf.study.baseline_model import (
    Hyperparameters,
    build_text_model,
    num_trained,
)
from adapters_tf.study.baseline_tokens import TokenTable
from adapters_tf.tasks.kinds import compute_metrics

PATIENCE = 3  # epochs without a better dev metric
_EVAL_BATCH_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trained model's best epoch.

    Attributes:
        hyperparameters: The model's hyperparameters.
        dev: The task's dev metrics after the best epoch.
        predictions: For each dev row its class index or score.
        trained_parameters: Number of parameters that training could change.
        epoch: The best epoch, from 1.
        epochs: Number of epochs run.
        seconds: Wall time.
    """

    hyperparameters: dict[str, Any]
    dev: dict[str, float]
    predictions: list[float] | list[int]
    trained_parameters: int
    epoch: int
    epochs: int
    seconds: float

    @property
    def score(self) -> float:
        """The first dev metric, by which models are selected."""
        return next(iter(self.dev.values()))


def run_trial(
    data: TaskData,
    table: TokenTable,
    hyperparameters: Hyperparameters,
    epochs: int,
    batch_size: int,
    seed: int,
) -> Trial:
    """Train a model until its dev metric stops rising, or for all epochs.

    Args:
        data: The task.
        table: The task's rows as tokens.
        hyperparameters: The model's hyperparameters.
        epochs: Most passes over the training rows.
        batch_size: Rows of a batch.
        seed: Seed of weights, dropout and the order of the rows.
    """
    start = time.monotonic()
    model = build_text_model(
        hyperparameters,
        table,
        len(data.task.labels) or 1,
        data.task.kind == "regression",
        seed,
    )
    best, epochs = _train(model, data, table, epochs, batch_size, seed)
    trained = num_trained(model, table)
    # Free the model, a cycle of references, before the next trial. Keras's
    # clear_session would also harm the caller's models.
    del model
    gc.collect()
    return Trial(
        hyperparameters=hyperparameters.to_dict(),
        trained_parameters=trained,
        epochs=epochs,
        seconds=time.monotonic() - start,
        **best,
    )


def _train(
    model: keras.Model,
    data: TaskData,
    table: TokenTable,
    epochs: int,
    batch_size: int,
    seed: int,
) -> tuple[dict[str, Any], int]:
    """The best epoch's fields of a `Trial`, and the number of epochs run."""
    labels, dev_labels = (
        rows_as(Examples, rows).references for rows in (data.train, data.dev)
    )
    scale, mean = 1.0, 0.0
    regression = data.task.kind == "regression"
    if regression:
        mean, scale = labels.mean(), labels.std() or 1.0
        labels = (labels - mean) / scale
    predict = _predictor(model, table)
    best: dict[str, Any] = {}
    epoch = 0
    while epoch < epochs and epoch - best.get("epoch", 0) < PATIENCE:
        order = train_batches(_lengths(table.train), batch_size, seed, epoch)
        rows = _batches(table.train, order, labels)
        history = model.fit(rows, shuffle=False, verbose=0).history
        epoch += 1
        if regression:
            predictions = predict()[:, 0].astype(np.float64) * scale + mean
        else:
            predictions = predict().argmax(axis=1)
        dev = compute_metrics(data.task, predictions, dev_labels)
        if not best or _first(dev) > _first(best["dev"]):
            best = {"dev": dev, "predictions": predictions.tolist(), "epoch": epoch}
        if not np.isfinite(history["loss"][0]):
            break
    return best, epoch


def _predictor(model: keras.Model, table: TokenTable) -> Callable[[], np.ndarray]:
    """A function that returns the model's outputs for the dev rows, in their order."""
    spec = tuple(tf.TensorSpec([None, None], tf.int32) for _ in table.dev)

    # Keras's predict would trace the model again for the first few shapes of batches.
    @tf.function(input_signature=[spec])
    def run(tokens: Any) -> Any:
        return model(tokens, training=False)

    order = eval_batches(_lengths(table.dev), _EVAL_BATCH_SIZE)
    batches = _batches(table.dev, order)
    back = np.argsort(np.concatenate(order))
    return lambda: np.concatenate([run(tokens) for (tokens,) in batches])[back]


def _first(metrics: dict[str, float]) -> float:
    return next(iter(metrics.values()))


def _lengths(columns: Sequence[tf.RaggedTensor]) -> np.ndarray:
    return sum(column.row_lengths().numpy() for column in columns)


def _batches(
    columns: Sequence[tf.RaggedTensor],
    order: list[np.ndarray],
    labels: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of these rows, each padded to its longest."""
    rows = tf.RaggedTensor.from_row_lengths(
        np.concatenate(order), [len(batch) for batch in order]
    )

    def batch(rows: Any) -> Any:
        tokens = tuple(tf.gather(column, rows).to_tensor() for column in columns)
        return (tokens,) if labels is None else (tokens, tf.gather(labels, rows))

    data = tf.data.Dataset.from_tensor_slices(rows)
    return data.map(batch).prefetch(tf.data.AUTOTUNE)
