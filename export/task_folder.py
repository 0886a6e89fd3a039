"""Add, remove, list and verify the live tasks of a servable: the files in `tasks/`."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from adapters_tf.errors import AdapterFileError, UserError
from adapters_tf.export.adapter import check_is_task, read_task
from adapters_tf.export.bank import BankLayout
from adapters_tf.export.base_functions import fingerprint_words
from adapters_tf.export.live_tasks import HEAD_INPUTS, NAME, SUFFIX, TASKS_DIR
from adapters_tf.export.task_file import TaskFile, read_file, task_bytes
from adapters_tf.export.task_layout import TaskLayout
from adapters_tf.io import LEFTOVER, open_locked, write_file

_LOCK_FILE = ".lock"


class BaseOfServable(NamedTuple):
    """What the files of live tasks need to know about their servable's base.

    Attributes:
        fingerprint: Its `base_fingerprint`.
        layout: Its layout.
        kinds: The kinds of tasks that the servable's graph knows.
    """

    fingerprint: str
    layout: BankLayout
    kinds: tuple[str, ...]

    @classmethod
    def of_version(cls, about: dict[str, Any]) -> "BaseOfServable":
        """Read it from a live servable's `servable.json`."""
        layout = dict(about["layout"])
        layout["forms"] = tuple(layout["forms"])
        kinds = tuple(about["kinds"])
        return cls(about["base_fingerprint"], BankLayout(**layout), kinds)


def task_path(servable: Path, name: str) -> Path:
    """Return the file of a live task."""
    return servable / TASKS_DIR / f"{name}{SUFFIX}"


def live_task_names(servable: Path) -> list[str]:
    """List the live tasks of a servable by name."""
    return sorted(
        path.name.removesuffix(SUFFIX)
        for path in (servable / TASKS_DIR).glob(f"*{SUFFIX}")
        if re.fullmatch(NAME, path.name.removesuffix(SUFFIX))
    )


def other_files(servable: Path) -> list[Path]:
    """List the entries of the folder of live tasks that are not task files.

    Hidden files are left out: programs that copy files write them under such names
    first.
    """
    folder = servable / TASKS_DIR
    if not folder.is_dir():
        return []
    tasks = {f"{name}{SUFFIX}" for name in live_task_names(servable)}
    paths = sorted(path for path in folder.iterdir() if path.name not in tasks)
    return [path for path in paths if not path.name.startswith(".")]


def add_live_task(
    servable: Path,
    about: dict[str, Any],
    name: str,
    adapter_dir: str | os.PathLike[str],
    replace: bool,
) -> None:
    """Write the file of a live task. Running servers answer for it at once.

    Args:
        servable: The servable.
        about: The `servable.json` of its newest version.
        name: The task's name, which no fixed task has.
        adapter_dir: Its adapter directory, or its adapter SavedModel.
        replace: Replace the task of this name.

    Raises:
        UserError: if the name is in use and `replace` is false, or is not in use and
            `replace` is true, or the file cannot be written; see also `read_task`.
    """
    check_is_task(adapter_dir)
    base = BaseOfServable.of_version(about)
    task = read_task(base, adapter_dir)
    if task.config["kind"] not in base.kinds:
        raise UserError(
            "A servable answers for the kinds of tasks that adapters-tf knew when it "
            f"was exported: {', '.join(base.kinds)}. Received: a task of the kind "
            f"{task.config['kind']!r}; export the servable again."
        )
    data = task_bytes(task, TaskLayout(base.layout))
    path = task_path(servable, name)
    with _changing(servable):
        if path.exists() != replace:
            state, hint = (
                ("is not there", "leave --replace away")
                if replace
                else ("is there already", "replace it with --replace")
            )
            raise UserError(f"The live task {name!r} {state}; {hint}.")
        try:
            write_file(path, data)
        except OSError as error:
            raise UserError(f"{path} could not be written: {error.strerror}") from error


def remove_live_task(servable: Path, name: str) -> None:
    """Remove the file of a live task; running servers stop to answer for it.

    Raises:
        UserError: if there is no such task, or its file cannot be removed.
    """
    path = task_path(servable, name)
    # Nothing but a task's name names a file in the folder.
    if not re.fullmatch(NAME, name) or not path.exists():
        names = ", ".join(live_task_names(servable)) or "none"
        raise UserError(
            f"There is no task {name!r} to remove. The servable has these live "
            f"tasks: {names}"
        )
    with _changing(servable):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path} could not be removed: {error.strerror}") from error


@contextlib.contextmanager
def _changing(servable: Path) -> Iterator[None]:
    """Keep other processes from changing the folder, if its file system has locks.

    Files that killed processes left behind are removed.
    """
    folder = servable / TASKS_DIR
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(open_locked(folder / _LOCK_FILE, wait=True))
            # While it is locked, so that no other process removes the next one's.
            stack.callback((folder / _LOCK_FILE).unlink, missing_ok=True)
            for path in folder.iterdir():
                if LEFTOVER.fullmatch(path.name):
                    path.unlink(missing_ok=True)
        yield


def read_live_task(servable: Path, about: dict[str, Any], name: str) -> TaskFile:
    """Read the file of a live task, and check all that a server checks.

    Args:
        servable: The servable.
        about: The `servable.json` of a version.
        name: The task's name.

    Raises:
        AdapterFileError: if a server would not answer with it; says why.
    """
    base, path = BaseOfServable.of_version(about), task_path(servable, name)
    file = TaskFile.from_bytes(read_file(path), path)
    if (file.fingerprint != fingerprint_words(base.fingerprint)).any():
        raise AdapterFileError(f"{str(path)!r} is the file of a task of another base.")
    if file.layout != TaskLayout(base.layout).number:
        raise AdapterFileError(
            f"{str(path)!r} was written for an export by another version of "
            "adapters-tf; add its adapter again."
        )
    if file.config["kind"] not in base.kinds:
        raise AdapterFileError(
            f"{str(path)!r} is of the kind {file.config['kind']!r}, which the servable "
            f"does not know. It knows: {', '.join(base.kinds)}"
        )
    if file.config["head"].get("head_input", HEAD_INPUTS[0]) not in HEAD_INPUTS:
        raise AdapterFileError(
            f"{str(path)!r} has a head on {file.config['head']['head_input']!r}; a "
            f"servable computes heads on {', '.join(HEAD_INPUTS)}."
        )
    return file
