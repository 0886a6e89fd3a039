"""What the measurements run on, written to a temporary directory."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

from adapters_tf.benchmark.serving.random_tasks import RandomTasks
from adapters_tf.benchmark.serving.token_paths import save_token_paths
from adapters_tf.benchmark.timing import timed
from adapters_tf.export.adapter import export_adapter
from adapters_tf.export.bank import ExportedTask
from adapters_tf.export.describe import BASE_DIR
from adapters_tf.export.directories import link_tree
from adapters_tf.export.self_check import check_in_new_process
from adapters_tf.export.servable import LoadedBase, save_version
from adapters_tf.export.servable_check import servable_cases
from adapters_tf.export.versions import add_task
from adapters_tf.export.warmup import write_version_warmup
from adapters_tf.tasks.build import build_model


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
        lambda: check_in_new_process(version, servable_cases(base, tasks, names))
    )
    mixed_only = directory / "mixed_only"
    save_version(base, tasks, mixed_only, task_signatures=False)
    _, writing["warm_up_file"] = timed(lambda: write_version_warmup(version))
    token_paths = directory / "token_paths"
    save_token_paths(base, list(tasks.values()), token_paths)
    total = sum(bytes_of(task) for task in tasks.values())
    return Built(
        servable, mixed_only, token_paths, tuple(names), total / count, writing
    )


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
