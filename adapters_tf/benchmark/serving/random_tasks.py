"""Any number of tasks for one base, with random values in place of training."""

import dataclasses
from pathlib import Path

import numpy as np

from adapters_tf.adapters import AdapterConfig
from adapters_tf.export.adapter import task_of_adapter
from adapters_tf.export.bank import BankLayout, ExportedTask
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.tasks.build import build_model

# A normal noise of this size is added to every tensor that training would change,
# so that tasks differ about as much as trained ones do.
_NOISE = 0.05
# Every eighth task is a regression; the others have 2, 3, ... 6 classes.
_REGRESSION_EVERY = 8
_LABEL_COUNTS = (2, 3, 4, 5, 6)


class RandomTasks:
    """Tasks by index, each the same one whenever it is asked for.

    Args:
        preset: The base; see `load_backbone`.
        bottleneck_dim: Units of every adapter.
        seq_length: Longest input in tokens.

    Raises:
        UserError: if the preset cannot be loaded or has fewer positions.
    """

    def __init__(self, preset: str, bottleneck_dim: int, seq_length: int) -> None:
        config = AdapterConfig(bottleneck_dim=bottleneck_dim)
        self._model = build_model(
            "classification",
            preset,
            config,
            seq_length=seq_length,
            head={"num_classes": 2},
            dtype="float32",
        )
        self._head = {v.path for v in self._model.head_variables()}
        self._start = self._model.get_adapter(preset=preset, seq_length=seq_length)

    def name(self, index: int) -> str:
        """The task's name."""
        return f"task_{index}"

    def adapter(self, index: int) -> Adapter:
        """The task as training would have left it."""
        random = np.random.default_rng(index)
        regression = index % _REGRESSION_EVERY == _REGRESSION_EVERY - 1
        classes = _LABEL_COUNTS[index % len(_LABEL_COUNTS)]
        labels = () if regression else [f"{index}.{i}" for i in range(classes)]
        head = {k: v for k, v in self._start.head.items() if k != "num_classes"}
        tensors = {}
        for path, value in self._start.tensors.items():
            if path in self._head:
                shape = (*value.shape[:-1], max(len(labels), 1))
                value = np.zeros(shape, np.float32)
            noise = random.normal(0, _NOISE, value.shape)
            tensors[path] = (value + noise).astype(np.float32)
        kind = "regression" if regression else "classification"
        return dataclasses.replace(
            self._start,
            tensors=tensors,
            kind=kind,
            head=head if regression else {**head, "num_classes": classes},
            task={
                "name": self.name(index),
                "kind": kind,
                "labels": list(labels),
                "text_columns": ["text"],
            },
        )

    def exported(self, index: int) -> ExportedTask:
        """The task as a servable holds it."""
        return task_of_adapter(
            self.adapter(index), BankLayout.of_backbone(self._model.backbone)
        )

    def save(self, index: int, directory: Path) -> None:
        """Write the task as an adapter directory."""
        save_adapter(self.adapter(index), directory)
