"""A servable's versions: creating, adding, removing, rolling back, listing."""

import json
import os
import re
from pathlib import Path
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.export.bank import ExportedTask, split_bank
from adapters_tf.export.bank_file import BankFile
from adapters_tf.export.combine import (
    check_fits,
    check_is_saved_model,
    load_exported,
)
from adapters_tf.export.directories import link_tree, new_directory
from adapters_tf.export.saving import BASE_SHARD
from adapters_tf.export.self_check import check_in_new_process
from adapters_tf.export.servable import (
    DEFAULT,
    FORMAT_VERSION,
    MIXED,
    SERVABLE_FILE,
    LoadedBase,
    save_version,
)
from adapters_tf.export.servable_check import servable_cases
from adapters_tf.export.warm import check_can_write_warmup, write_version_warmup
from adapters_tf.io import file_sha256

# Beside the versions; no integer, so TensorFlow Serving does not look at it.
BASE_DIR = "base"
# As this package writes them: 007 would be version 7 to TensorFlow Serving.
_VERSION = re.compile(r"[1-9][0-9]*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def create_servable(
    base_dir: str | os.PathLike[str],
    adapters: dict[str, str],
    output_dir: str | os.PathLike[str],
    task_signatures: bool = True,
) -> None:
    """Write a servable with a first version.

    Args:
        base_dir: A base SavedModel; its files are linked, or copied.
        adapters: Task name -> adapter SavedModel.
        output_dir: A new directory.
        task_signatures: Give each task signatures of its own (`NAME` and
            `NAME_text`) beside `mixed_text`, now and in later versions. Their
            graphs take memory and their first calls time, for each task: with
            hundreds of tasks that are only called by `mixed_text`, leave them out.

    Raises:
        UserError: if a name is not usable, an adapter is missing or of another
            base, or the directory exists or cannot be written.
    """
    for name in adapters:
        check_name(name, [n for n in adapters if n != name])
    if not adapters:
        raise UserError("A servable holds at least one task. Received: no adapters")
    check_can_write_warmup()
    check_is_saved_model(base_dir, "base")
    for path in adapters.values():
        check_is_saved_model(path, "adapter")
    with new_directory(output_dir) as directory:
        base = LoadedBase(Path(base_dir))
        tasks = {name: read_task(base, path) for name, path in adapters.items()}
        link_tree(Path(base_dir), directory / BASE_DIR)
        base.directory = directory / BASE_DIR
        _write_version(base, tasks, list(tasks), directory / "1", task_signatures)


def add_task(
    servable: str | os.PathLike[str], name: str, adapter_dir: str, replace: bool = False
) -> int:
    """Write a new version with one more task, or with one replaced.

    The other tasks' outputs do not change in one bit.

    Args:
        servable: The servable.
        name: The task's name.
        adapter_dir: Its adapter SavedModel.
        replace: Replace the task of this name.

    Returns:
        The new version.

    Raises:
        UserError: as `create_servable`, or if the name is in use and `replace`
            is false, or the other way round.
    """
    names = list(read_newest(servable)["tasks"])
    if (name in names) != replace:
        state, hint = (
            ("is there already", "replace it with --replace")
            if name in names
            else ("is not there", "leave --replace away")
        )
        raise UserError(
            f"The task {name!r} {state}; {hint}. The servable has: {', '.join(names)}"
        )
    check_name(name, [n for n in names if n != name])
    check_is_saved_model(adapter_dir, "adapter")
    base, tasks = _open(servable)
    tasks[name] = read_task(base, adapter_dir)
    return _append(Path(servable), base, tasks, [name])


def remove_task(servable: str | os.PathLike[str], name: str) -> int:
    """Write a new version without a task; returns its number.

    Raises:
        UserError: if the task is not there, or is the only one.
    """
    names = list(read_newest(servable)["tasks"])
    if name not in names:
        raise UserError(
            f"There is no task {name!r} to remove. The servable has: {', '.join(names)}"
        )
    if len(names) == 1:
        raise UserError(
            f"A servable holds at least one task, and {name!r} is the only one. Stop "
            "serving the directory, or add another task first."
        )
    base, tasks = _open(servable)
    del tasks[name]
    return _append(Path(servable), base, tasks, [])


def roll_back(servable: str | os.PathLike[str], to: int | None = None) -> int:
    """Make an earlier version the newest again, under a new number.

    Args:
        servable: The servable.
        to: The version; by default the one before the newest.

    Returns:
        The new version, with the files of the earlier one.

    Raises:
        UserError: if that version is not there, or does not compute what its
            tasks do.
    """
    path = Path(servable)
    versions = versions_of(path)
    to = to if to is not None else versions[-2] if len(versions) > 1 else None
    if to not in versions:
        raise UserError(
            "A servable is rolled back to a version that it has. Received: "
            f"{to if to is not None else 'one version only'}; it has: {versions}"
        )
    base, tasks = _open(path, to)
    with new_directory(path / str(versions[-1] + 1)) as directory:
        link_tree(path / str(to), directory)
        check_in_new_process(directory, servable_cases(base, tasks, []))
    return versions[-1] + 1


def versions_of(servable: Path) -> list[int]:
    """The versions of a servable, ascending.

    Raises:
        UserError: if the directory is no servable.
    """
    if not (servable / BASE_DIR / "saved_model.pb").is_file():
        raise UserError(
            f"A servable is a directory with {BASE_DIR}/ and its versions, written by "
            f"adapters-tf-export servable. Received: {str(servable)!r}"
        )
    versions = [
        int(entry.name)
        for entry in servable.iterdir()
        if _VERSION.fullmatch(entry.name) and (entry / "saved_model.pb").is_file()
    ]
    if not versions:
        raise UserError(f"The servable {str(servable)!r} has no version.")
    return sorted(versions)


def read_about(version_dir: Path) -> dict[str, Any]:
    """What `servable.json` says of a version.

    Raises:
        UserError: if it is missing, corrupt or of another format.
    """
    path = version_dir / SERVABLE_FILE
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
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
    """The tasks as the bank has them, whatever has sorted the file's keys."""
    tasks = dict(sorted(tasks.items(), key=lambda item: item[1]["index"]))
    if [entry["index"] for entry in tasks.values()] != list(range(len(tasks))):
        raise ValueError("the tasks are not numbered from 0")
    return tasks


def read_newest(servable: str | os.PathLike[str]) -> dict[str, Any]:
    """`read_about` of the newest version of a servable.

    Raises:
        UserError: as `versions_of` and `read_about`.
    """
    path = Path(servable)
    return read_about(path / str(versions_of(path)[-1]))


def check_name(name: str, others: list[str]) -> None:
    """Refuse a name whose signatures are not usable or another's.

    Raises:
        UserError: saying why.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            "A task's name is a letter followed by letters, digits and underscores, "
            f"since it names signatures. Received: {name!r}"
        )
    taken = {MIXED, DEFAULT, *others, *(f"{other}_text" for other in others)}
    if {name, f"{name}_text"} & taken:
        raise UserError(
            f"The task name {name!r} stands for the signatures {name!r} and "
            f"{name + '_text'!r}, and one of them is taken; choose another name."
        )


def read_task(base: LoadedBase, adapter_dir: str | os.PathLike[str]) -> ExportedTask:
    """The task of an adapter SavedModel for this base.

    Raises:
        UserError: if it is no adapter SavedModel, or for another base.
    """
    adapter = load_exported(adapter_dir, "adapter")
    check_fits(base.model, adapter, f"The one in {os.fspath(adapter_dir)!r}")
    config = json.loads(adapter.config().numpy())
    return ExportedTask.from_saved_model(config, adapter)


def _open(
    servable: str | os.PathLike[str], version: int | None = None
) -> tuple[LoadedBase, dict[str, ExportedTask]]:
    """The base and the tasks of a version, by default of the newest."""
    check_can_write_warmup()
    path = Path(servable)
    directory = path / str(version or versions_of(path)[-1])
    about = read_about(directory)
    _check_base(path, about)
    base = LoadedBase(path / BASE_DIR)
    bank = BankFile(directory).read_all()
    configs = [entry["config"] for entry in about["tasks"].values()]
    if len(configs) != len(bank["activation"]):
        raise UserError(
            f"{directory / SERVABLE_FILE} must list the tasks of the version's bank. "
            f"Received: {len(configs)} tasks, and a bank of {len(bank['activation'])}. "
            "Go on from an earlier version, or export the servable again."
        )
    paths = base.config["adapter_paths"], base.config["layer_norm_paths"]
    tasks = split_bank(bank, configs, *paths)
    return base, dict(zip(about["tasks"], tasks, strict=True))


def _check_base(servable: Path, about: dict[str, Any]) -> None:
    shard = servable / BASE_DIR / BASE_SHARD
    if not shard.is_file() or file_sha256(shard) != about["base_shard_sha256"]:
        raise UserError(
            f"The base's weights in {str(servable / BASE_DIR)!r} are not those of the "
            "servable: the file is missing, changed or corrupt. Export the servable "
            "again."
        )


def _append(
    servable: Path, base: LoadedBase, tasks: dict[str, ExportedTask], changed: list[str]
) -> int:
    version = versions_of(servable)[-1] + 1
    own = read_newest(servable)["task_signatures"]
    with new_directory(servable / str(version)) as directory:
        _write_version(base, tasks, changed, directory, own)
    return version


def _write_version(
    base: LoadedBase,
    tasks: dict[str, ExportedTask],
    changed: list[str],
    directory: Path,
    task_signatures: bool,
) -> None:
    save_version(base, tasks, directory, task_signatures)
    own = changed if task_signatures else []
    check_in_new_process(directory, servable_cases(base, tasks, own))
    write_version_warmup(directory)
