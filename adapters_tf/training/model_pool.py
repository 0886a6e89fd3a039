"""Models that are trained one run after another, built and traced once."""

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.data.examples import Rows
from adapters_tf.data.preset_names import resolve_preset
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.models.features import Features
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.models.initialize import initialize_task_variables
from adapters_tf.models.task import Task
from adapters_tf.tasks.base import Prepared
from adapters_tf.tasks.build import build_model
from adapters_tf.tasks.kinds import kind_named
from adapters_tf.training.config import TrainJob
from adapters_tf.training.predict import Predictor
from adapters_tf.training.prefix_cache.hidden_states import HiddenStates
from adapters_tf.training.strategy import is_tpu
from adapters_tf.training.trainer import AdapterTrainer, step_constants


def build_task_model(job: TrainJob, task: Task) -> AdapterModel:
    """The model of this job for this task, freshly initialised from the seed."""
    # Keras's and TensorFlow's own seeds stay as they are: nothing here reads them, and
    # to set them is to throw away what TensorFlow compiled for all models there are.
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
        predict: Runs it.
    """

    def __init__(self, job: TrainJob, task: Task) -> None:
        self.model = build_task_model(job, task)
        self.predict = Predictor(self.model, job.config.eval_batch_size)
        self._trainer: AdapterTrainer | None = None
        self._base: dict[str, np.ndarray] = {}

    @functools.cached_property
    def prefix(self) -> FrozenPrefix | None:
        """The model, cut under all that it trains; `None` without a block there."""
        return FrozenPrefix.of(self.model)

    def keep_base(self) -> None:
        """Remember the base's values of what training changes."""
        own = {id(v) for layer in self.model.task_layers() for v in layer.weights}
        self._base = {
            v.path: v.numpy()
            for v in self.model.trainable_variables
            if id(v) not in own
        }

    def reset(self, seed: int) -> None:
        """Make the model what `build_task_model` with this seed gives."""
        for variable in self.model.trainable_variables:
            if variable.path in self._base:
                variable.assign(self._base[variable.path])
        initialize_task_variables(self.model, seed)

    def trainer(
        self, job: TrainJob, features: Features | HiddenStates
    ) -> AdapterTrainer:
        """A trainer at step 0, the one of the last run if it can be."""
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
    """Gives each run a model, where it can one that was built for an earlier run.

    That saves loading the base and tracing the graphs. The weights it trains to are
    those of a run of its own, to the bit.

    Args:
        size: How many models it keeps; those that were used last. 0 keeps none, for a
            single run, and spares the copy of the base's weights.

    Attributes:
        built: How many models it has built.
    """

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self.built = 0
        self._models: dict[Any, PooledModel] = {}
        self._prepared: dict[Any, tuple[Any, Prepared]] = {}

    def get(self, job: TrainJob, task: Task) -> PooledModel:
        """A model as `build_task_model` makes it, in the scope of the strategy."""
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
        """The tokens of these rows, made once for the same base and length."""
        if not self._size:
            return kind_named(model.kind).prepare(rows, model.preprocessor)
        key = (id(rows), job.preset, job.seq_length)
        if key not in self._prepared:
            # With the rows, lest others get their id. None is removed: a sweep holds
            # its tasks' rows anyway, and each task comes round for every method.
            prepared = kind_named(model.kind).prepare(rows, model.preprocessor)
            self._prepared[key] = (rows, prepared)
        return self._prepared[key][1]


def _key(job: TrainJob, task: Task) -> tuple[str, tf.distribute.Strategy]:
    """Equal for runs that can share a model."""
    head = kind_named(task.kind).head_arguments(task, job.head)
    parts = dataclasses.asdict(
        dataclasses.replace(job, head=head, config=type(job.config)())
    )
    constants = step_constants(job.config)
    batch = job.config.eval_batch_size
    described = repr((sorted(parts.items()), constants, batch, task.kind))
    # The strategy itself: the id of one that is gone may be another's.
    return described, tf.distribute.get_strategy()
