"""Read the directory of a servable: its versions, and the bank and facts of each."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.io import read_json

FORMAT_VERSION = 1
# The description of a version and its tasks.
SERVABLE_FILE = Path("assets.extra", "servable.json")
# The entry of a live servable's bank with the files of its fixed tasks.
FILES = "files"
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
            # Servables of before have no live tasks.
            about["live"] = bool(about.get("live", False))
            if about["live"]:
                dict(about["layout"])
                list(about["kinds"])
            about.setdefault("embedding", None)
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
