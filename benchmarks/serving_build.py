"""What `serving` measures: servables of random tasks, on disk."""

import dataclasses
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.export.adapter import export_adapter, task_of_adapter
from adapters_tf.export.bank import BankLayout, ExportedTask
from adapters_tf.export.base_functions import input_specs
from adapters_tf.export.saving import link_tree
from adapters_tf.export.self_check import check_export
from adapters_tf.export.servable import LoadedBase, ServableOptions, save_version
from adapters_tf.export.servable_check import servable_cases
from adapters_tf.export.servable_functions import (
    ServableFunctions,
    TaskTable,
    encoder_inputs,
    windows_of,
)
from adapters_tf.export.versions import BASE_DIR, add_task
from adapters_tf.export.warmup import write_version_warmup
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.adapter_file import save_adapter
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.build import build_model
from benchmarks.timing import timed

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
        layout = BankLayout.of_backbone(self._model.backbone)
        return task_of_adapter(self.adapter(index), layout)

    def save(self, index: int, directory: Path) -> None:
        """Write the task as an adapter directory."""
        save_adapter(self.adapter(index), directory)


@dataclasses.dataclass(frozen=True)
class Built:
    """A servable of random tasks.

    Attributes:
        servable: Its directory, with version 1.
        mixed_only: A version of the same tasks without signatures of their own.
        token_paths: From `save_token_paths`, of the same tasks.
        names: The tasks' names by index.
        adapter_bytes: Bytes of one task's tensors, on average.
        writing: Stage -> `wall_seconds` and `cpu_seconds`.
    """

    servable: Path
    mixed_only: Path
    token_paths: Path
    names: tuple[str, ...]
    adapter_bytes: float
    writing: dict[str, dict[str, float]]

    @property
    def version(self) -> Path:
        """The directory that a server loads."""
        return self.servable / "1"


def build_servable(
    base_dir: Path, random_tasks: RandomTasks, count: int, directory: Path
) -> Built:
    """Write a servable with `count` tasks, as `create_servable` does.

    Their adapter SavedModels are left out: writing and reading them takes as long
    as it does for one task, as often as there are tasks.

    Args:
        base_dir: The base SavedModel.
        random_tasks: Where tasks come from.
        count: How many.
        directory: A new directory for all that is written.
    """
    names = [random_tasks.name(index) for index in range(count)]
    tasks = {name: random_tasks.exported(i) for i, name in enumerate(names)}
    base = LoadedBase(base_dir)
    servable, version = directory / "servable", directory / "servable" / "1"
    link_tree(base_dir, servable / BASE_DIR)
    writing = {}
    _, writing["saved_model"] = timed(lambda: save_version(base, tasks, version))
    _, writing["self_check"] = timed(
        lambda: check_export(
            version, servable_cases(base, tasks, names, ServableOptions())
        )
    )
    mixed_only = directory / "mixed_only"
    save_version(base, tasks, mixed_only, ServableOptions(task_signatures=False))
    _, writing["warm_up_file"] = timed(lambda: write_version_warmup(version))
    token_paths = directory / "token_paths"
    save_token_paths(base, list(tasks.values()), token_paths)
    total = sum(bytes_of(task) for task in tasks.values())
    return Built(
        servable, mixed_only, token_paths, tuple(names), total / count, writing
    )


def save_random_base(
    sizes: Mapping[str, int], seq_length: int, directory: Path
) -> None:
    """Write a preset of a BERT with random weights and the demo's vocabulary.

    Args:
        sizes: Arguments of `BertBackbone`, such as a value of `ENCODERS`.
        seq_length: Its positions.
        directory: Where to.
    """
    tokenizer = keras_hub.models.BertTokenizer.from_preset(resolve_preset("demo"))
    size = tokenizer.vocabulary_size()
    backbone = keras_hub.models.BertBackbone(
        **{**sizes, "vocabulary_size": size}, max_sequence_length=seq_length
    )
    backbone.save_to_preset(str(directory))
    tokenizer.save_to_preset(str(directory))


def build_mixed_servable(
    base_dir: Path, random_tasks: RandomTasks, count: int, servable: Path
) -> list[str]:
    """Write a servable with `mixed_text` alone, and its warm-up; nothing is checked.

    Args:
        base_dir: The base SavedModel.
        random_tasks: Where tasks come from.
        count: How many.
        servable: A new directory.

    Returns:
        The tasks' names by index.
    """
    names = [random_tasks.name(index) for index in range(count)]
    tasks = {name: random_tasks.exported(i) for i, name in enumerate(names)}
    version = servable / "1"
    options = ServableOptions(task_signatures=False)
    save_version(LoadedBase(base_dir), tasks, version, options)
    write_version_warmup(version)
    return names


def bytes_of(task: ExportedTask) -> int:
    """Bytes of a task's tensors, the head's included."""
    arrays = [*task.encoder.values(), *task.head.values()]
    return sum(array.nbytes for array in arrays)


def add_one_task(
    built: Built, random_tasks: RandomTasks, directory: Path
) -> dict[str, dict[str, float]]:
    """Add one more task to a servable, from its adapter directory.

    Args:
        built: The servable, which gets a version 2.
        random_tasks: Where the task comes from.
        directory: Where its files go.

    Returns:
        Stage -> `wall_seconds` and `cpu_seconds`: `adapter` exports its adapter
        SavedModel, `add` writes the version. Both check themselves in a new process.
    """
    index = len(built.names)
    trained, exported = directory / "trained", directory / "adapter"
    random_tasks.save(index, trained)
    stages = {}
    _, stages["adapter"] = timed(lambda: export_adapter(trained, exported))
    name = random_tasks.name(index)
    _, stages["add"] = timed(lambda: add_task(built.servable, name, str(exported)))
    return stages


def export_fine_tuned(preset: str, seq_length: int, directory: Path) -> None:
    """Write one fully fine-tuned model whole, with Keras's `model.export`.

    Its weights are those of the base, which makes no difference to size or time.
    """
    model: Any = build_model(
        "classification",
        preset,
        tuning="full",
        seq_length=seq_length,
        head={"num_classes": 2},
        dtype="float32",
    )
    model.export(str(directory), verbose=False)


def copy_of(directory: Path, number: int) -> Path:
    """The same SavedModel under another name, with bytes of its own."""
    copy = directory.with_name(f"{directory.name}_{number}")
    if not copy.exists():
        shutil.copytree(directory, copy)
    return copy


def size_on_disk(directory: Path) -> int:
    """Bytes of a directory's files; those with several names count once."""
    found = {}
    for file in directory.rglob("*"):
        if file.is_file():
            status = os.stat(file)
            found[status.st_dev, status.st_ino] = status.st_size
    return sum(found.values())


PLAIN, PLAIN_TEXT, ONE, ROWS = "plain", "plain_text", "one", "rows"


def save_token_paths(
    base: LoadedBase, tasks: list[ExportedTask], directory: Path
) -> None:
    """Write it.

    A servable has no signature of the plain base, nor one of tokens with a task for
    each row. All of these return the pooled vector alone:

        plain       tokens: the base without any task
        plain_text  text: the same behind the servable's preprocessor
        one         tokens, task (`[B]`, all the same): all rows with this task (the
                    base's `encode`)
        rows        tokens, tasks: each row with its own (its `encode_rows`)

    Args:
        base: The base.
        tasks: The tasks, by index.
        directory: Where to.
    """
    root = tf.train.Checkpoint()
    root.base_variables = list(base.model.variables)
    bank = base.build_bank(tasks)
    root.bank = {key: tf.Variable(v, trainable=False) for key, v in bank.items()}
    table = TaskTable.of_tasks(tasks)
    functions = ServableFunctions(
        base.model,
        base.preprocessor,
        root.bank,
        table,
        base.layout,
        base.layout.forms_for(tasks),
    )
    rows_keys = [key for key in bank if not key.startswith("head/")]
    tokens = list(input_specs().values())

    def inputs_of(values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(input_specs(), values, strict=True))

    def pooled(outputs: dict[str, Any]) -> dict[str, Any]:
        return {"pooled_output": outputs["pooled_output"]}

    def plain(input_word_ids: Any, input_mask: Any, input_type_ids: Any) -> Any:
        inputs = inputs_of((input_word_ids, input_mask, input_type_ids))
        return pooled(base.model(inputs, training=False))

    def plain_text(text: Any) -> Any:
        every = tf.ones(tf.shape(text), tf.int32)
        known = tf.cast(every, tf.bool)
        lengths = tf.gather(table.seq_length, every - 1)
        pair = tf.zeros_like(text)
        windows = windows_of(
            base.preprocessor, table, text, pair, every - 1, known, lengths
        )
        return pooled(base.model(encoder_inputs(windows), training=False))

    def one(
        input_word_ids: Any, input_mask: Any, input_type_ids: Any, task: Any
    ) -> Any:
        inputs = inputs_of((input_word_ids, input_mask, input_type_ids))
        return pooled(functions.encode(inputs, task[0]))

    def rows(
        input_word_ids: Any, input_mask: Any, input_type_ids: Any, tasks: Any
    ) -> Any:
        inputs = inputs_of((input_word_ids, input_mask, input_type_ids))
        values = {key: tf.convert_to_tensor(root.bank[key]) for key in rows_keys}
        return pooled(base.model.encode_rows(inputs, values, tasks))

    text, index = tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None])
    specs = {
        plain: tokens,
        plain_text: [text],
        one: [*tokens, tf.TensorSpec(index.shape, tf.int32, "task")],
        rows: [*tokens, tf.TensorSpec(index.shape, tf.int32, "tasks")],
    }
    names = (PLAIN, PLAIN_TEXT, ONE, ROWS)
    signatures = {
        name: tf.function(function, input_signature=spec, autograph=False)
        for name, (function, spec) in zip(names, specs.items(), strict=True)
    }
    tf.saved_model.save(root, str(directory), signatures=signatures)
