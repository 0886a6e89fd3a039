"""What a servable holds."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from adapters_tf.adapters import full_forms
from adapters_tf.adapters.joined import count_numbers
from adapters_tf.export.bank_file import BankFile
from adapters_tf.export.versions import BASE_DIR, read_about, versions_of


@dataclasses.dataclass(frozen=True)
class TaskSummary:
    """One task of a servable.

    Attributes:
        name: Its name, that of its signatures.
        kind: As `Adapter.kind`.
        labels: The class names; empty without classes.
        bottleneck_dim: Units of its largest bottleneck, 0 without adapters.
        metrics: Metric -> value on the dev rows of its training; the first is
            the one that counts. Empty where it was saved without.
        parameters: Numbers that it adds to the base, of 4 bytes each.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    bottleneck_dim: int
    metrics: dict[str, float]
    parameters: int


@dataclasses.dataclass(frozen=True)
class ServableSummary:
    """What a servable holds, by its newest version.

    Attributes:
        versions: Its versions, ascending.
        base_fingerprint: That of its base.
        seq_length: Longest input of its tasks, in tokens.
        tasks: The newest version's tasks.
        task_signatures: Whether they have signatures of their own.
        base_bytes: Size of the base's files.
        version_bytes: Version -> size of those of its files that are not the
            base's too.
        total_bytes: Size of all files; one with several names counts once.
    """

    versions: tuple[int, ...]
    base_fingerprint: str
    seq_length: int
    tasks: tuple[TaskSummary, ...]
    task_signatures: bool
    base_bytes: int
    version_bytes: dict[int, int]
    total_bytes: int


def describe_servable(servable: str | os.PathLike[str]) -> ServableSummary:
    """Read what a servable holds, without loading its SavedModels.

    Args:
        servable: The servable.

    Raises:
        UserError: if the directory is no servable, or its newest version is not
            readable.
    """
    path = Path(servable)
    versions = versions_of(path)
    newest = path / str(versions[-1])
    about = read_about(newest)
    parameters, bottlenecks = _sizes(BankFile(newest))
    tasks = []
    for i, (name, entry) in enumerate(about["tasks"].items()):
        config = entry["config"]
        order = [m for m in config["task"].get("metrics", ()) if m in config["metrics"]]
        metrics = {m: config["metrics"][m] for m in [*order, *config["metrics"]]}
        tasks.append(
            TaskSummary(
                name=name,
                kind=entry["kind"],
                labels=tuple(entry["labels"]),
                bottleneck_dim=bottlenecks[i],
                metrics=metrics,
                parameters=parameters[i],
            )
        )
    base = size_by_file(path / BASE_DIR)
    files = {version: size_by_file(path / str(version)) for version in versions}
    return ServableSummary(
        versions=tuple(versions),
        base_fingerprint=about["base_fingerprint"],
        seq_length=about["seq_length"],
        tasks=tuple(tasks),
        task_signatures=about["task_signatures"],
        base_bytes=sum(base.values()),
        version_bytes={
            version: sum(size for file, size in own.items() if file not in base)
            for version, own in files.items()
        },
        total_bytes=sum(size_by_file(path).values()),
    )


def size_by_file(directory: Path) -> dict[Any, int]:
    """Bytes of each file below a directory, once for all of its names."""
    sizes = {}
    for path in directory.rglob("*"):
        if path.is_file():
            about = path.stat()
            sizes[about.st_dev, about.st_ino] = about.st_size
    return sizes


def _sizes(bank: BankFile) -> tuple[list[int], list[int]]:
    """Parameters and the largest bottleneck of each task: see `build_bank`."""
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
            # Gamma and beta, where a LayerNorm is the task's own.
            total = total + (bank.read(entry) > 0) * 2 * d
        elif name == "size":
            blocks[path.rpartition("/")[0]] = None
            largest = largest.clip(bank.read(entry))
    for form in full_forms():
        total = total + count_numbers(bank.shapes, bank.read, form, list(blocks), d)
    return total.tolist(), largest.tolist()
