"""Read a task's tensors from a live model, and put another task's in."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from adapters_tf.adapters import AdapterMethod
from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter, check_tensors
from adapters_tf.models.adapter_backbone import take_backbone
from adapters_tf.models.fingerprint import (
    adapted_fingerprint,
    backbone_name,
    changed_variables,
)
from adapters_tf.models.task_record import task_record
from adapters_tf.models.trainable_set import (
    Tuning,
    check_base_weights,
    check_trainable_set,
    layer_norm_variables,
)

# The base class of the task models for the active Keras backend.
_BACKEND = keras.config.backend()
if _BACKEND == "tensorflow":
    from adapters_tf.models.tensorflow_task import TensorFlowTask as BackendTask
    from adapters_tf.models.tensorflow_task import (
        without_autograph as without_autograph,
    )
elif _BACKEND == "jax":
    from adapters_tf.models.jax_task import JaxTask as BackendTask
    from adapters_tf.models.jax_task import without_autograph as without_autograph
else:
    raise UserError(
        "adapters_tf.models runs on Keras's TensorFlow and JAX backends: set "
        "KERAS_BACKEND to tensorflow or jax before Keras is imported. Received: "
        f"the backend {_BACKEND!r}"
    )

DEFAULT_NAME = "default"
# Methods that train more of the base than its LayerNorms.
_CHANGES_BASE = ("full", "top_n")


@dataclasses.dataclass(frozen=True)
class TaskRecord:
    """What an adapter file records of its task that the model itself does not use.

    Attributes:
        task: As `Adapter.task`.
        metrics: As `Adapter.metrics`.
        training: As `Adapter.training`.
    """

    task: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    training: dict[str, Any] = dataclasses.field(default_factory=dict)


class LiveTasks:
    """The inactive tasks of a live model, and the base's own LayerNorms.

    Keras does not track this object, because it is not part of the active task.

    Attributes:
        active: Name of the task that the model computes.
        others: The other tasks by name, in the order in which they were added.
        order: All names in the order in which they were added.
        layer_norms: The base's own LayerNorms, from which every task starts.
    """

    def __init__(self, layer_norms: dict[str, np.ndarray]) -> None:
        self.active = DEFAULT_NAME
        self.others: dict[str, Adapter] = {}
        self.order = [DEFAULT_NAME]
        self.layer_norms = layer_norms
        self.record = TaskRecord()


class AdapterForms(BackendTask):
    """The part of `AdapterModel` that reads, assigns and changes a task's tensors.

    Two tasks have the same form if their kind, adapters, tuning and head are the same.
    Their tensors then differ only in values.
    """

    # `AdapterModel` provides these.
    kind: str
    kinds: ClassVar[dict[str, Any]]
    tuning: Tuning
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    preset: str | None
    head_config: Any
    compile_arguments: Any

    def start_tasks(self) -> None:
        """Take ownership of the backbone and record its LayerNorms as the base's."""
        take_backbone(self.backbone, self)
        self._live = LiveTasks(
            {v.path: v.numpy() for v in self._layer_norms() if v is not None}
        )

    def _layer_norms(self) -> list[keras.Variable]:
        added = {id(v) for v in self.backbone.adapter_variables()}
        return [v for v in layer_norm_variables(self.backbone) if id(v) not in added]

    def get_adapter(self, **about: Any) -> Adapter:
        """Return a copy of this task's trained tensors, without the base.

        Args:
            **about: Fields of `Adapter` that the model does not know, such as
                `metrics`. You can also override `task`, `preset` and `seq_length`.

        Raises:
            UserError: if layers were frozen, unfrozen or quantized by hand, or the base
                has other weights than those it was loaded with.
        """
        adapter = self._aside()
        check_base_weights(self)
        num_classes = self.head_config().get("num_classes", 0)
        task = task_record(
            self._live.active, self.kind, self.text_columns, self.labels, num_classes
        )
        known = {k: adapter.task[k] for k in ("name", "metrics") if k in adapter.task}
        tensors = {k: v.astype("float32") for k, v in adapter.tensors.items()}
        fields: dict[str, Any] = {"task": task | known, "tensors": tensors} | about
        return dataclasses.replace(adapter, **fields)

    def set_adapter(self, adapter: Adapter, *, base_is_known: bool = False) -> None:
        """Switch this live model to another task of the same form.

        This overwrites every tensor that the tuning method trains, so nothing of the
        previous task remains.

        Args:
            adapter: From `get_adapter` or `load_adapter`.
            base_is_known: Nobody can have changed the base since it was loaded. Its
                weights are then not read to check it, which takes 0.4 s for BERT-base.

        Raises:
            AdapterFileError: if the adapter is for another base, configuration, tuning
                method or head, or a tensor is missing, unknown or of another shape. The
                model is then unchanged.
            UserError: if the base has other weights than those it was loaded with.
        """
        adapter.check_fits(self.get_config_of_adapter())
        if not base_is_known:
            check_base_weights(self)
        self._assign(adapter)

    def get_config_of_adapter(self) -> dict[str, Any]:
        """Return the configuration that an adapter must have to fit this model."""
        return {
            "backbone": backbone_name(self.backbone),
            "kind": self.kind,
            "adapter": self.backbone.adapter,
            "tuning": self.tuning,
            "head": self.head_config(),
            "base_fingerprint": self.backbone.fingerprint,
        }

    def _aside(self) -> Adapter:
        """Return the active task as the model knows it, in the variables' own dtype.

        Columns and labels that the model has not learned yet stay empty.
        """
        check_trainable_set(self)
        record = self._live.record
        known: dict[str, Any] = {"preset": self.preset}
        if self.preprocessor is not None:
            known["seq_length"] = self.preprocessor.sequence_length
        return Adapter(
            tensors={v.path: v.numpy() for v in self.trainable_variables},
            task=record.task
            | {"text_columns": list(self.text_columns), "labels": list(self.labels)},
            metrics=record.metrics,
            training=record.training,
            **self.get_config_of_adapter(),
            **known,
        )

    def forget_run(self) -> None:
        """Drop what is recorded of the run that trained this task, before another."""
        self._live.record = TaskRecord(self._live.record.task)

    def _show(self, adapter: Adapter, old: Adapter) -> None:
        """Switch to another task; on an error, restore the old one."""
        if all(
            getattr(adapter, field) == value
            for field, value in self.get_config_of_adapter().items()
        ):
            self._assign(adapter)
            self._restart_optimizer()
            return
        self._become(
            old,
            self.kinds[adapter.kind],
            adapter.adapter,
            adapter.tuning,
            adapter.head,
            values=adapter,
        )

    def _assign(self, adapter: Adapter) -> None:
        variables = {v.path: v for v in self.trainable_variables}
        check_tensors(
            adapter.tensors, {k: tuple(v.shape) for k, v in variables.items()}
        )
        self._read_record(adapter)
        for path, variable in variables.items():
            variable.assign(adapter.tensors[path])

    def _read_record(self, adapter: Adapter) -> None:
        """Take over the adapter's record of its task."""
        task = adapter.task
        self.text_columns = tuple(task.get("text_columns", ()))
        labels = tuple(task.get("labels", ()))
        # Classes that were saved without names have their indices as names.
        unnamed = labels == tuple(map(str, range(len(labels))))
        self.labels = () if unnamed else labels
        self._live.record = TaskRecord(task, adapter.metrics, adapter.training)
        self.preset = adapter.preset or self.preset
        preprocessor = self.preprocessor
        if preprocessor is not None:
            if preprocessor.sequence_length != adapter.seq_length:
                preprocessor.sequence_length = adapter.seq_length

    def _become(
        self,
        old: Adapter,
        cls: Any,
        adapter: AdapterMethod | None,
        tuning: Tuning,
        head: dict[str, Any],
        labels: Sequence[str] | None = None,
        values: Adapter | None = None,
    ) -> None:
        """Take another form's class, head and adapters; on an error, restore `old`."""
        self._check_base_is_known(tuning)
        try:
            model = self._made(cls, adapter, tuning, head, labels, values)
        except BaseException:
            # The old layers no longer exist; `old` has their values.
            kind = self.kinds[old.kind]
            back = self._made(kind, old.adapter, old.tuning, old.head, None, old)
            self._adopt(back, keep_metrics=True)
            raise
        self._adopt(model, keep_metrics=cls is type(self))

    def _made(
        self,
        cls: Any,
        adapter: AdapterMethod | None,
        tuning: Tuning,
        head: dict[str, Any],
        labels: Sequence[str] | None,
        values: Adapter | None,
    ) -> Any:
        """Build a new model on this one's backbone, with this name and these values."""
        backbone = self.backbone
        with self.variable_scope():
            for variable in self._layer_norms():
                variable.assign(self._live.layer_norms[variable.path])
            if adapter is not None:
                adapter = adapter.for_blocks(len(backbone.encoder_blocks))
            backbone.configure_adapters(adapter)
            take_backbone(backbone, None)
            try:
                model = cls(
                    backbone,
                    preprocessor=self.preprocessor,
                    tuning=tuning,
                    labels=labels,
                    preset=self.preset,
                    name=self.name,
                    **head,
                )
                if values is not None:
                    model._assign(values)
            finally:
                take_backbone(backbone, self)
        return model

    def _adopt(self, model: Any, keep_metrics: bool) -> None:
        """Turn this object into the other model, compiled as this one was."""
        arguments = vars(self.compile_arguments).copy()
        live = self._live
        object.__setattr__(self, "__class__", type(model))
        # Share one dictionary, because Keras has wrapped the other model's methods.
        object.__setattr__(self, "__dict__", vars(model))
        live.record = self._live.record
        self._live = live
        take_backbone(self.backbone, self)
        if not isinstance(arguments["optimizer"], str):
            arguments["optimizer"] = _copy(arguments["optimizer"])
        if not keep_metrics:
            arguments["loss"] = arguments["metrics"] = "auto"
            arguments.pop("weighted_metrics", None)
        arguments["metrics"] = keras.tree.map_structure(_copy, arguments["metrics"])
        self.compile(**arguments)

    def _restart_optimizer(self) -> None:
        """Reset the optimizer's state without retracing functions."""
        optimizer = self.optimizer
        if optimizer is None or not optimizer.built:
            return
        new = _copy(optimizer)
        with self.variable_scope():
            new.build(self.trainable_variables)
        for variable, value in zip(optimizer.variables, new.variables, strict=True):
            variable.assign(value)

    def _check_base_is_known(self, tuning: Tuning) -> None:
        """Check that the base still matches its fingerprint, so a task can start."""
        for method in (self.tuning.method, tuning.method):
            if method in _CHANGES_BASE:
                raise UserError(
                    "Tasks of different form share a base that none of them changes. "
                    f"Received: one with tuning={method!r}, which trains the base. "
                    "Load the base again for it"
                )
        if self._base_differs():
            raise UserError(
                "A task of another form starts from the base as it was loaded. "
                "Received: a model whose base has other weights, such as LayerNorms "
                "that were trained before they were saved in a preset or a .keras "
                "file. Make the model with from_preset of the base, or with load_model "
                "of an adapter directory"
            )

    def _base_differs(self) -> bool:
        backbone, norms = self.backbone, self._live.layer_norms
        digests = backbone.base_digests
        if digests is not None:
            return bool(changed_variables(backbone.base_variables(), digests, norms))
        # A file written before there were digests.
        wanted = backbone.fingerprint
        return wanted is not None and adapted_fingerprint(backbone, norms) != wanted


def _copy(value: Any) -> Any:
    """Copy an optimizer or metric by its configuration; return others unchanged."""
    if isinstance(value, keras.optimizers.Optimizer | keras.metrics.Metric):
        return type(value).from_config(value.get_config())
    return value
