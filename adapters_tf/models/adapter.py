"""The in-memory form of a trained task: its tensors and their description."""

import dataclasses
from typing import Any

import numpy as np

from adapters_tf.adapters import AdapterMethod
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.models.fingerprint import BERT
from adapters_tf.models.trainable_set import Tuning


@dataclasses.dataclass(frozen=True)
class Adapter:
    """The tensors that a task trained, with everything needed to use them.

    Attributes:
        tensors: Variable path -> float32 array of the variable's shape: the task's
            trainable set (adapters, LayerNorms and head, for `tuning="adapters"`).
        kind: `"classification"`, `"regression"`, `"question_answering"`,
            `"multi_label"` or `"token_classification"`.
        adapter: Configuration of the adapters, such as `AdapterConfig`; `None` for a
            baseline.
        tuning: The tuning method that trained it.
        head: Constructor arguments of the head.
        base_fingerprint: Hash of the architecture and weights of the base it
            belongs to; `None` if unknown.
        task: `Task.to_dict()`: name, columns, labels, metrics.
        metrics: Dev metrics of the run, by name.
        preset: Where the base can be loaded from.
        seq_length: Longest input it was trained on, in tokens.
        training: The run's settings, for the record.
        versions: Versions of the libraries that wrote it.
        backbone: Name of the base's keras-hub class.
    """

    tensors: dict[str, np.ndarray]
    kind: str
    adapter: AdapterMethod | None
    tuning: Tuning
    head: dict[str, Any]
    base_fingerprint: str | None
    task: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    preset: str | None = None
    seq_length: int = 128
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    backbone: str = BERT

    def to_dict(self) -> dict[str, Any]:
        """Return all fields except the tensors, as plain JSON values."""
        config = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "tensors"
        }
        config["adapter"] = None if self.adapter is None else self.adapter.to_dict()
        config["tuning"] = dataclasses.asdict(self.tuning)
        # Adapters for BERT omit this field, so their files keep the original format.
        if self.backbone == BERT:
            del config["backbone"]
        return config

    def check_fits(self, expected: dict[str, Any]) -> None:
        """Check that the adapter matches what a model expects.

        Args:
            expected: `AdapterModel.get_config_of_adapter()`.

        Raises:
            AdapterFileError: if a field differs; names the first one.
        """
        for field, value in expected.items():
            own = getattr(self, field)
            if own == value:
                continue
            if field == "backbone":
                raise AdapterFileError(
                    "An adapter works only on the base it was trained on. This one "
                    f"was trained on a {own}"
                    f"{f' ({self.preset})' if self.preset else ''}; the model has a "
                    f"{value}. Load that base, or train an adapter for this one."
                )
            if field == "base_fingerprint":
                raise AdapterFileError(
                    "An adapter works only on the base it was trained on. This one "
                    f"was trained on the base {own}"
                    f"{f' ({self.preset})' if self.preset else ''}; the model has the "
                    f"base {value}. Load that base, or train an adapter for this one."
                )
            raise AdapterFileError(
                f"The adapter's {field} must be the model's. Received: {field}={own}; "
                f"the model has {field}={value}. Build the model from the adapter "
                "(load_model), or load an adapter of the same form."
            )


def check_tensors(
    tensors: dict[str, np.ndarray], expected: dict[str, tuple[int, ...]]
) -> None:
    """Check that tensors exactly match the variables they are for.

    Args:
        tensors: Variable path -> array.
        expected: Variable path -> shape.

    Raises:
        AdapterFileError: if tensors are missing, unknown or misshapen (names all of
            them), or one holds NaN or infinity (names the first).
    """
    problems = []
    missing = sorted(set(expected) - set(tensors))
    unknown = sorted(set(tensors) - set(expected))
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
    if unknown:
        problems.append(f"not known to the model: {', '.join(unknown)}")
    for path in sorted(set(expected) & set(tensors)):
        if tuple(tensors[path].shape) != expected[path]:
            problems.append(
                f"{path} has shape {tuple(tensors[path].shape)}, the model's has "
                f"{expected[path]}"
            )
    if problems:
        raise AdapterFileError(
            "The adapter's tensors must be exactly those the model trains. "
            f"Received: {'; '.join(problems)}"
        )
    for path, value in tensors.items():
        if not np.isfinite(value).all():
            raise AdapterFileError(
                f"The adapter's tensor {path} holds NaN or infinity."
            )


# Methods that do not change the base's weights, apart from LayerNorms.
EXPORTED_METHODS = ("adapters", "adapters_only", "layer_norm", "head")


def check_exportable(adapter: Adapter) -> None:
    """Reject an adapter that the exported functions cannot compute.

    Args:
        adapter: The content of an adapter directory; its base is not needed.

    Raises:
        UserError: if the tuning method trains the base itself, exports do not support
            the adapters' configuration, or the task does not name its text columns and
            every class.
    """
    _check_task(adapter)
    if adapter.tuning.method not in EXPORTED_METHODS:
        raise UserError(
            "An adapter SavedModel leaves its base as it is, so the tuning method must "
            f"be one of {', '.join(EXPORTED_METHODS)}. Received: tuning="
            f"{adapter.tuning.method}, which changes the base; export such a model "
            "whole, with Keras's model.export."
        )
    if adapter.adapter is not None:
        adapter.adapter.check_exportable()


def _check_task(adapter: Adapter) -> None:
    count = adapter.head.get("num_classes", 0)
    labels = list(adapter.task.get("labels", ()))
    if len(labels) != count or not all(isinstance(label, str) for label in labels):
        raise UserError(
            "An exported adapter's task has a label, a text, for each class of a "
            f"classifier and none otherwise. Received: a head of {count} classes and "
            f"labels={labels}; save the adapter with its task, "
            "model.get_adapter(task=task.to_dict(), ...)."
        )
    columns = list(adapter.task.get("text_columns", ()))
    if not columns:
        raise UserError(
            "An exported adapter's task has one or more text columns. Received: "
            f"text_columns={columns}; save the adapter with its task, "
            "model.get_adapter(task=task.to_dict(), ...)."
        )
