"""Models that several runs share: built and traced once, trained again and again."""

import dataclasses
import functools
import hashlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from adapters_tf.data.examples import Rows
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import ModelInputs
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.task import Task
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.base import Prepared
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.training.config import TrainJob
from adapters_tf.training.devices import is_tpu
from adapters_tf.training.predict import Predictor
from adapters_tf.training.trainer import AdapterTrainer, step_constants


def build_task_model(job: TrainJob, task: Task) -> AdapterModel:
    """Build the model of this job for this task, initialised from the job's seed."""
    # Do not set the seeds of Keras and TensorFlow: nothing here reads them, and setting
    # them discards what TensorFlow compiled for every model of the process.
    model = build_model(
        task.kind,
        resolve_preset(job.preset),
        job.adapter if job.tuning.has_adapters else None,
        job.tuning,
        job.seq_length,
        kind_named(task.kind).head_arguments(task, job.head),
        dtype=job.precision,
    )
    initialize_task_variables(model, job.config.seed)
    return model


class PooledModel:
    """A model with the functions that are traced for it.

    Attributes:
        model: The model.
        predict: Runs it on rows.
    """

    def __init__(self, job: TrainJob, task: Task) -> None:
        self.model = build_task_model(job, task)
        self.predict = Predictor(self.model, job.config.eval_batch_size)
        self._trainer: AdapterTrainer | None = None
        self._base: dict[str, np.ndarray] = {}

    @functools.cached_property
    def prefix(self) -> FrozenPrefix | None:
        """The model, cut below all that it trains; `None` if no block is below."""
        return FrozenPrefix.of(self.model)

    def keep_base(self) -> None:
        """Copy the base weights that training changes, for `reset`."""
        own = {id(v) for layer in self.model.task_layers() for v in layer.weights}
        self._base = {
            v.path: v.numpy()
            for v in self.model.trainable_variables
            if id(v) not in own
        }

    def reset(self, seed: int) -> None:
        """Set the weights to those that `build_task_model` gives with this seed."""
        for variable in self.model.trainable_variables:
            if variable.path in self._base:
                variable.assign(self._base[variable.path])
        initialize_task_variables(self.model, seed)

    def trainer(self, job: TrainJob, features: ModelInputs) -> AdapterTrainer:
        """A trainer at step 0; the trainer of the last run if it can be reused."""
        if (
            self._trainer is None
            or is_tpu(tf.distribute.get_strategy())
            or not self._trainer.takes(features)
        ):
            self._trainer = AdapterTrainer(self.model, features, job.config)
        else:
            self._trainer.restart(features, job.config)
        return self._trainer


class ModelPool:
    """Gives each run a model, if possible one that an earlier run used.

    Reuse saves loading the base and tracing the graphs. A run trains to the same bits
    with a reused model as with a new one.

    Args:
        size: Number of models to keep, the last ones used. 0 keeps none: for a single
            run, this saves a copy of the base's weights.

    Attributes:
        built: Number of models built so far.
    """

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self.built = 0
        self._models: dict[Any, PooledModel] = {}
        self._prepared: dict[Any, tuple[Any, Prepared]] = {}

    def get(self, job: TrainJob, task: Task) -> PooledModel:
        """A model as `build_task_model` makes it; call it in the strategy's scope."""
        if not self._size:
            self.built += 1
            return PooledModel(job, task)
        key = _key(job, task)
        pooled = self._models.pop(key, None)
        if pooled is not None:
            pooled.reset(job.config.seed)
        else:
            while len(self._models) >= self._size:
                self._models.pop(next(iter(self._models)))
            self.built += 1
            pooled = PooledModel(job, task)
            pooled.keep_base()
        self._models[key] = pooled
        return pooled

    def prepare(self, rows: Rows, job: TrainJob, model: AdapterModel) -> Prepared:
        """Tokenise rows, once for the same base and length."""
        if not self._size:
            return kind_named(model.kind).prepare(rows, model.preprocessor)
        key = (id(rows), job.preset, job.seq_length)
        if key not in self._prepared:
            # Hold the rows too, or other rows could get their id. Nothing is removed:
            # a sweep holds the rows of its tasks anyway, and each method reads them.
            prepared = kind_named(model.kind).prepare(rows, model.preprocessor)
            self._prepared[key] = (rows, prepared)
        return self._prepared[key][1]


def _key(job: TrainJob, task: Task) -> tuple[str, tf.distribute.Strategy]:
    """A key that is equal for runs that can share a model."""
    head = kind_named(task.kind).head_arguments(task, job.head)
    parts = dataclasses.asdict(
        dataclasses.replace(job, head=head, config=type(job.config)())
    )
    constants = step_constants(job.config)
    batch = job.config.eval_batch_size
    described = repr((sorted(parts.items()), constants, batch, task.kind))
    # The strategy itself, not its id, which another one may get later.
    return described, tf.distribute.get_strategy()


def initialize_task_variables(model: Any, seed: int) -> None:
    """Re-initialise adapters and head.

    Each variable is drawn by its layer's own initialiser from (seed, path). Its values
    do not depend on what was built before or on other adapters, so you can retrain a
    live model from the start.

    Args:
        model: An `AdapterModel`.
        seed: The run's seed.
    """
    for layer in model.task_layers():
        for leaf in _leaves(layer):
            for variable in leaf.weights:
                initializer = getattr(leaf, f"{variable.name}_initializer")
                config = initializer.get_config()
                if "seed" in config:
                    config["seed"] = _derived_seed(seed, variable.path)
                    initializer = type(initializer).from_config(config)
                variable.assign(initializer(variable.shape, dtype=variable.dtype))


def _leaves(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the inner layers that own variables directly."""
    return [
        sublayer
        for sublayer in layer._flatten_layers()
        if sublayer.weights and not list(sublayer._flatten_layers(include_self=False))
    ]


def _derived_seed(seed: int, path: str) -> int:
    digest = hashlib.sha256(f"{seed} {path}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
