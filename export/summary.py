"""Describe and verify a servable, without loading a SavedModel."""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

from adapters_tf.adapters import full_forms
from adapters_tf.adapters.joined import count_numbers
from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export.describe import (
    BASE_DIR,
    FILES,
    SERVABLE_FILE,
    BankFile,
    read_servable_json,
    size_by_file,
    versions_of,
)
from adapters_tf.export.live_tasks import ANCHOR, SUFFIX
from adapters_tf.export.saving import BASE_SHARD
from adapters_tf.export.session import read_meta_graph
from adapters_tf.export.task_file import TaskFile
from adapters_tf.export.task_folder import (
    live_task_names,
    other_files,
    read_live_task,
    task_path,
)
from adapters_tf.io import file_sha256


@dataclasses.dataclass(frozen=True)
class TaskSummary:
    """One task of a servable.

    Attributes:
        name: Its name, used in its signatures.
        kind: As `Adapter.kind`.
        labels: The class names; empty without classes.
        bottleneck_dim: Units of its largest bottleneck, 0 without adapters.
        metrics: Metric -> value on the dev rows of its training, the task's main
            metric first. Empty if the adapter was saved without metrics.
        parameters: Number of parameters that it adds to the base, of 4 bytes each.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    bottleneck_dim: int
    metrics: dict[str, float]
    parameters: int


@dataclasses.dataclass(frozen=True)
class ServableSummary:
    """The content of a servable; the tasks are those of the newest version.

    Attributes:
        versions: Its versions, ascending.
        base_fingerprint: Fingerprint of its base.
        seq_length: Longest input of its tasks, in tokens.
        tasks: The newest version's tasks.
        live_tasks: The tasks that are files, by name. Servers know them without a new
            version.
        damaged_tasks: The names of files in the folder of live tasks that describe no
            task. The numbers of the others are not read.
        live: Whether its tasks can be files.
        task_signatures: Whether the tasks have their own signatures.
        base_bytes: Size of the base's files.
        version_bytes: Version -> size of its files without the base's files.
        total_bytes: Size of all files; a file with several names counts once.
    """

    versions: tuple[int, ...]
    base_fingerprint: str
    seq_length: int
    tasks: tuple[TaskSummary, ...]
    live_tasks: tuple[TaskSummary, ...]
    damaged_tasks: tuple[str, ...]
    live: bool
    task_signatures: bool
    base_bytes: int
    version_bytes: dict[int, int]
    total_bytes: int


def describe_servable(servable: str | os.PathLike[str]) -> ServableSummary:
    """Describe a servable without loading its SavedModels.

    Args:
        servable: The servable.

    Raises:
        UserError: if the directory is not a servable, or its newest version is
            unreadable.
    """
    path = Path(servable)
    versions = versions_of(path)
    newest = path / str(versions[-1])
    about = read_servable_json(newest)
    tasks = _summaries(newest, about)
    live, damaged = _live_summaries(path) if about["live"] else ([], [])
    base = size_by_file(path / BASE_DIR)
    files = {version: size_by_file(path / str(version)) for version in versions}
    return ServableSummary(
        versions=tuple(versions),
        base_fingerprint=about["base_fingerprint"],
        seq_length=about["seq_length"],
        tasks=tuple(tasks),
        live_tasks=tuple(live),
        damaged_tasks=tuple(damaged),
        live=about["live"],
        task_signatures=about["task_signatures"],
        base_bytes=sum(base.values()),
        version_bytes={
            version: sum(size for file, size in own.items() if file not in base)
            for version, own in files.items()
        },
        total_bytes=sum(size_by_file(path).values()),
    )


def _sizes(bank: BankFile) -> tuple[list[int], list[int]]:
    """Return each task's parameters and largest bottleneck; see `build_bank`."""
    d = bank.shapes["head/kernel"][1]
    outputs = bank.read("head/size")
    total = outputs * (d + 1)
    if "head/hidden/row" in bank.shapes:
        total = total + (bank.read("head/hidden/row") > 0) * (d * d + d)
    largest = outputs * 0
    blocks: dict[str, None] = {}
    for entry in bank.shapes:
        path, _, name = entry.rpartition("/")
        if path == "head" or path == "head/hidden":
            continue
        if name == "row":
            # Gamma and beta of the task's own LayerNorms.
            total = total + (bank.read(entry) > 0) * 2 * d
        elif name == "size":
            blocks[path.rpartition("/")[0]] = None
            largest = largest.clip(bank.read(entry))
    for form in full_forms():
        total = total + count_numbers(bank.shapes, bank.read, form, list(blocks), d)
    return total.tolist(), largest.tolist()


def _summaries(version_dir: Path, about: dict[str, Any]) -> list[TaskSummary]:
    bank = BankFile(version_dir)
    if about["live"]:
        files = zip(about["tasks"], bank.read(FILES), strict=True)
        return [_summary(name, TaskFile.from_bytes(data, name)) for name, data in files]
    parameters, bottlenecks = _sizes(bank)
    return [
        _summary_of_config(name, entry["config"], bottlenecks[i], parameters[i])
        for i, (name, entry) in enumerate(about["tasks"].items())
    ]


def _live_summaries(servable: Path) -> tuple[list[TaskSummary], list[str]]:
    found, damaged = [], []
    for name in live_task_names(servable):
        try:
            file = TaskFile.read_description(task_path(servable, name))
        except AdapterFileError:
            damaged.append(name)
        else:
            found.append(_summary(name, file))
    return found, damaged


def _summary(name: str, file: TaskFile) -> TaskSummary:
    return _summary_of_config(name, file.config, file.bottleneck_dim, file.parameters)


def _summary_of_config(
    name: str, config: dict[str, Any], bottleneck_dim: int, parameters: int
) -> TaskSummary:
    order = [m for m in config["task"].get("metrics", ()) if m in config["metrics"]]
    return TaskSummary(
        name=name,
        kind=config["kind"],
        labels=tuple(config["task"].get("labels", ())),
        bottleneck_dim=bottleneck_dim,
        metrics={m: config["metrics"][m] for m in [*order, *config["metrics"]]},
        parameters=parameters,
    )


# === Verifying ===


class VerifiedServable(NamedTuple):
    """What `verify_servable` has read.

    Attributes:
        versions: Number of versions.
        tasks: Number of tasks that versions hold, each counted once in each version.
        live_tasks: Number of live tasks.
    """

    versions: int
    tasks: int
    live_tasks: int


def verify_servable(servable: str | os.PathLike[str]) -> VerifiedServable:
    """Read a servable's weights, tasks and task files, and check every checksum.

    Graphs, vocabularies and warm-up requests have no checksums and are not read.

    Args:
        servable: The servable.

    Raises:
        UserError: if the directory is not a servable, or a file is missing, damaged,
            for another base or under a name that no row can ask for; names all such
            files.
    """
    path, problems = Path(servable), []
    versions, num_tasks, live = versions_of(path), 0, None
    for version in versions:
        try:
            about = _verify_version(path, version)
        except UserError as error:
            problems.append(str(error))
        else:
            num_tasks += len(about["tasks"])
            live = about if about["live"] else None
    names = []
    if live is not None:
        names = live_task_names(path)
        problems += [
            f"{str(task_path(path, name))!r} is never read: the newest version holds a "
            "fixed task of this name."
            for name in names
            if name in live["tasks"]
        ]
        for name in names:
            try:
                read_live_task(path, live, name)
            except AdapterFileError as error:
                problems.append(str(error))
        problems += [
            f"{str(file)!r} is not a task's file, whose name is a letter, at most 99 "
            f"letters, digits and underscores, and {SUFFIX}."
            for file in other_files(path)
        ]
    if problems:
        shown = "\n".join(problems[:_MOST_PROBLEMS])
        more = len(problems) - _MOST_PROBLEMS
        raise UserError(
            f"The servable has {len(problems)} problem(s):\n{shown}"
            + (f"\nand {more} more" if more > 0 else "")
        )
    return VerifiedServable(len(versions), num_tasks, len(names))


_MOST_PROBLEMS = 20


def _verify_version(servable: Path, version: int) -> dict[str, Any]:
    directory = servable / str(version)
    about = read_servable_json(directory)
    read_meta_graph(directory)
    for shard in (servable / BASE_DIR / BASE_SHARD, directory / BASE_SHARD):
        if not shard.is_file() or file_sha256(shard) != about["base_shard_sha256"]:
            raise UserError(
                f"{str(shard)!r} does not hold the weights of the servable's base."
            )
    bank = BankFile(directory).read_all()
    if about["live"]:
        if not (directory / "assets" / ANCHOR).is_file():
            raise UserError(
                f"{directory} lacks assets/{ANCHOR}, by which it finds tasks."
            )
        files = list(bank.get(FILES, ()))
        if len(files) != len(about["tasks"]):
            raise UserError(
                f"{directory} does not hold the tasks of its {SERVABLE_FILE}."
            )
        for name, data in zip(about["tasks"], files, strict=True):
            TaskFile.from_bytes(data, f"{directory}, task {name}")
    return about
