"""Read what a servable's directory holds, without loading a SavedModel."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.adapters import full_forms
from adapters_tf.adapters.joined import count_numbers
from adapters_tf.errors import UserError
from adapters_tf.io import read_json

FORMAT_VERSION = 1
# The description of a version and its tasks.
SERVABLE_FILE = Path("assets.extra", "servable.json")
# A folder next to the versions. TensorFlow Serving ignores it, because its name is not
# an integer.
BASE_DIR = "base"
# This package's names of versions. TensorFlow Serving also reads 007 as version 7.
_VERSION = re.compile(r"[1-9][0-9]*")
# TensorFlow Serving, its protos and its status hold a version in an int64.
MAX_VERSION = 2**63 - 1


# TensorFlow raises an IndexError for a file that is too short.
_ERRORS = (tf.errors.OpError, IndexError, NotImplementedError, ValueError)


class BankFile:
    """The entries of `build_bank` in the checkpoint of a version.

    Args:
        version_dir: A version of a servable.

    Attributes:
        shapes: Entry -> shape.

    Raises:
        UserError: if there is no checkpoint with a bank.
    """

    def __init__(self, version_dir: Path) -> None:
        prefix = version_dir / "variables" / "variables"
        try:
            self._reader = tf.train.load_checkpoint(str(prefix))
            shapes = self._reader.get_variable_to_shape_map()
        except _ERRORS as error:
            raise UserError(f"{prefix} is missing or corrupt: {error}") from error
        self._keys = {}
        for key in shapes:
            parts = key.split("/")
            if parts[0] == "bank":
                # Checkpoints write a slash inside a name as ".S".
                self._keys[parts[1].replace(".S", "/")] = key
        self.shapes = {entry: tuple(shapes[key]) for entry, key in self._keys.items()}
        if not self.shapes:
            raise UserError(f"{prefix} has no bank of tasks: it is of no servable.")

    def read(self, entry: str) -> np.ndarray:
        """Read one entry.

        Raises:
            UserError: if its file is missing or corrupt.
        """
        try:
            return self._reader.get_tensor(self._keys[entry])
        except _ERRORS as error:
            raise UserError(
                "The bank of tasks is missing or corrupt: "
                f"{getattr(error, 'message', error)}. Add the tasks to an earlier "
                "version, or export the servable again."
            ) from error

    def read_all(self) -> dict[str, np.ndarray]:
        """Read all entries, as `build_bank` returned them."""
        return {entry: self.read(entry) for entry in self.shapes}


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
        task_signatures: Whether the tasks have their own signatures.
        base_bytes: Size of the base's files.
        version_bytes: Version -> size of its files without the base's files.
        total_bytes: Size of all files; a file with several names counts once.
    """

    versions: tuple[int, ...]
    base_fingerprint: str
    seq_length: int
    tasks: tuple[TaskSummary, ...]
    task_signatures: bool
    base_bytes: int
    version_bytes: dict[int, int]
    total_bytes: int


def versions_of(servable: Path) -> list[int]:
    """List the versions of a servable, ascending.

    Raises:
        UserError: if the directory is not a servable.
    """
    if not (servable / BASE_DIR / "saved_model.pb").is_file():
        raise UserError(
            f"A servable is a directory with {BASE_DIR}/ and its versions, written by "
            f"adapters-tf-export servable. Received: {str(servable)!r}"
        )
    versions = [
        int(entry.name)
        for entry in servable.iterdir()
        if _VERSION.fullmatch(entry.name)
        and int(entry.name) <= MAX_VERSION
        and (entry / "saved_model.pb").is_file()
    ]
    if not versions:
        raise UserError(f"The servable {str(servable)!r} has no version.")
    return sorted(versions)


def read_servable_json(version_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Read `servable.json`, which describes a version and its tasks.

    Raises:
        UserError: if it is missing, corrupt or of another format.
    """
    path = Path(version_dir) / SERVABLE_FILE
    try:
        about = read_json(path)
        version = about["format_version"]
        if version == FORMAT_VERSION:
            about["tasks"] = _in_order(about["tasks"])
            str(about["base_shard_sha256"])
            bool(about["task_signatures"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is missing or corrupt: {error!r}") from error
    if version != FORMAT_VERSION:
        raise UserError(
            f"The servable's format version must be {FORMAT_VERSION}. Received: "
            f"{version} in {path}. A newer adapters-tf may read it."
        )
    return about


def _in_order(tasks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sort the tasks in the order of the bank."""
    tasks = dict(sorted(tasks.items(), key=lambda item: item[1]["index"]))
    if [entry["index"] for entry in tasks.values()] != list(range(len(tasks))):
        raise ValueError("the tasks are not numbered from 0")
    return tasks


def read_newest(servable: str | os.PathLike[str]) -> dict[str, Any]:
    """Read `servable.json` of the newest version of a servable.

    Raises:
        UserError: see `versions_of` and `read_servable_json`.
    """
    path = Path(servable)
    return read_servable_json(path / str(versions_of(path)[-1]))


def find_versions(directory: Path) -> dict[int, Path]:
    """Find the versions of a servable: its folders with an int64 for a name.

    Args:
        directory: The servable.

    Returns:
        Paths by version number; empty if there are none, or no directory.
    """
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return {}
    return {
        int(entry.name): Path(entry.path)
        for entry in entries
        if entry.name.isascii()
        and entry.name.isdigit()
        and int(entry.name) <= MAX_VERSION
        and entry.is_dir()
    }


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
    """Return file sizes in bytes below a directory; hard links count once.

    Returns:
        `(device, inode)` -> size.
    """
    sizes = {}
    for path in directory.rglob("*"):
        if path.is_file():
            about = path.stat()
            sizes[about.st_dev, about.st_ino] = about.st_size
    return sizes


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
