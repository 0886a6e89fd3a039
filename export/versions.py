"""Create a servable, read, add and remove its tasks, and roll back versions."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.export.adapter import check_is_task, read_task
from adapters_tf.export.bank import ExportedTask, split_bank
from adapters_tf.export.combine import check_is_saved_model
from adapters_tf.export.describe import (
    BASE_DIR,
    FILES,
    MAX_VERSION,
    SERVABLE_FILE,
    BankFile,
    read_newest,
    read_servable_json,
    versions_of,
)
from adapters_tf.export.live_tasks import TASKS_DIR
from adapters_tf.export.saving import BASE_SHARD, link_tree, new_directory
from adapters_tf.export.self_check import check_export
from adapters_tf.export.servable import (
    DEFAULT,
    MIXED,
    LoadedBase,
    ServableOptions,
    read_options,
    save_version,
)
from adapters_tf.export.servable_check import live_copy, servable_cases
from adapters_tf.export.task_file import read_task_bytes
from adapters_tf.export.task_folder import (
    add_live_task,
    live_task_names,
    remove_live_task,
)
from adapters_tf.export.task_layout import TaskLayout
from adapters_tf.export.warmup import check_can_write_warmup, write_version_warmup
from adapters_tf.io import file_sha256, open_locked

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# A signature's name, with "_text", and the names of its tensors stay short.
MAX_NAME = 100
# In the servable while a version is being added.
_LOCK_FILE = ".lock"


def create_servable(
    base_dir: str | os.PathLike[str],
    adapters: Mapping[str, str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    task_signatures: bool = True,
    live: bool = False,
    embedding: str | None = None,
) -> None:
    """Write a servable with a first version.

    Args:
        base_dir: A base SavedModel. Its files are linked, or copied if the file system
            has no links.
        adapters: Task name -> its adapter directory, such as a run's `adapter/`, or its
            adapter SavedModel.
        output_dir: A new directory.
        task_signatures: Whether each task has its own signatures (`NAME` and
            `NAME_text`) in addition to `mixed_text`, now and in later versions. Each
            task's graphs take memory and their first calls take time. Leave them out if
            clients call hundreds of tasks only by `mixed_text`. Live servables have
            `mixed_text` alone.
        live: Whether the graph reads tasks that the version does not hold from files
            in `tasks/`. `add_task` then writes such a file, and running servers answer
            with it at once.
        embedding: What `mixed_text` returns as `embedding` for rows without a task:
            "cls", the base's vector of the first token, "pooled", or "mean", the mean
            over all tokens. By default there is no such output.

    Raises:
        UserError: if a name is invalid, an adapter is missing, unsupported or for
            another base, the directory exists or cannot be written, or the written
            servable's outputs differ from those of base and adapter.
    """
    for name in adapters:
        check_name(name, [n for n in adapters if n != name])
    if not adapters and not live:
        raise UserError(
            "A servable holds at least one task, unless its tasks are live (--live). "
            "Received: no adapters"
        )
    options = ServableOptions(task_signatures and not live, live, embedding)
    check_can_write_warmup()
    check_is_saved_model(base_dir, "base")
    for path in adapters.values():
        check_is_task(path)
    with new_directory(output_dir) as directory:
        base = LoadedBase(Path(base_dir))
        tasks = {name: read_task(base, path) for name, path in adapters.items()}
        link_tree(Path(base_dir), directory / BASE_DIR)
        base.directory = directory / BASE_DIR
        _write_version(base, tasks, list(tasks), directory / "1", options)
        if live:
            (directory / TASKS_DIR).mkdir()


def add_task(
    servable: str | os.PathLike[str],
    name: str,
    adapter_dir: str | os.PathLike[str],
    replace: bool = False,
) -> int:
    """Add or replace a task: in a new version, or as a file of a live servable.

    The tensors of the other tasks do not change. If another process is adding a
    version, this waits for it, so that none is lost; so do `remove_task` and
    `roll_back`.

    Args:
        servable: The servable.
        name: The task's name.
        adapter_dir: Its adapter directory, or its adapter SavedModel.
        replace: Replace the task of this name.

    Returns:
        The version that answers for the task: a new one, or the newest of a live
        servable.

    Raises:
        UserError: see `create_servable`; also if the name is in use and `replace` is
            false, or the name is not in use and `replace` is true.
    """
    about = read_newest(servable)
    if about["live"]:
        _check_not_fixed(name, about)
        add_live_task(Path(servable), about, name, adapter_dir, replace)
        return versions_of(Path(servable))[-1]
    with _next_version(servable) as version:
        names = list(read_newest(servable)["tasks"])
        if (name in names) != replace:
            state, hint = (
                ("is there already", "replace it with --replace")
                if name in names
                else ("is not there", "leave --replace away")
            )
            raise UserError(
                f"The task {name!r} {state}; {hint}. The servable has: "
                f"{', '.join(names)}"
            )
        check_name(name, [n for n in names if n != name])
        check_is_task(adapter_dir)
        base, tasks = _open(servable)
        tasks[name] = read_task(base, adapter_dir)
        _append(Path(servable), version, base, tasks, [name])
    return version


def remove_task(servable: str | os.PathLike[str], name: str) -> int:
    """Remove a task: in a new version, or the file of a live task.

    Args:
        servable: The servable.
        name: The task's name.

    Returns:
        The version without the task: a new one, or the newest if the task was live.

    Raises:
        UserError: if the directory is not a servable, there is no such task, it is the
            only one, or the new version cannot be written.
    """
    about = read_newest(servable)
    if about["live"] and name not in about["tasks"]:
        remove_live_task(Path(servable), name)
        return versions_of(Path(servable))[-1]
    with _next_version(servable) as version:
        names = list(read_newest(servable)["tasks"])
        if name not in names:
            raise UserError(
                f"There is no task {name!r} to remove. The servable has: "
                f"{', '.join(names)}"
            )
        if len(names) == 1 and not about["live"]:
            raise UserError(
                f"A servable holds at least one task, and {name!r} is the only one. "
                "Stop serving the directory, or add another task first."
            )
        base, tasks = _open(servable)
        del tasks[name]
        _append(Path(servable), version, base, tasks, [])
    return version


def roll_back(servable: str | os.PathLike[str], to: int | None = None) -> int:
    """Make an earlier version the newest again, with a new number.

    Args:
        servable: The servable.
        to: The version; by default the one before the newest.

    Returns:
        The new version, with the files of the earlier one.

    Raises:
        UserError: if there is no such version, or its outputs are wrong.
    """
    path = Path(servable)
    with _next_version(servable) as version:
        versions = versions_of(path)
        to = to if to is not None else versions[-2] if len(versions) > 1 else None
        if to not in versions:
            raise UserError(
                "A servable can be rolled back to a version that it has. Received: "
                f"{to if to is not None else 'one version only'}; it has: {versions}"
            )
        hidden = set(read_servable_json(path / str(to))["tasks"])
        hidden &= set(live_task_names(path))
        if hidden:
            raise UserError(
                f"Version {to} holds fixed tasks of the names {sorted(hidden)}, and "
                "servers would answer with them instead of the live tasks of these "
                "names. Remove the live tasks first."
            )
        base, tasks = _open(path, to)
        with new_directory(path / str(version)) as directory:
            link_tree(path / str(to), directory)
            options = read_options(read_servable_json(directory))
            _check_version(base, tasks, [], directory, options)
    return version


@contextlib.contextmanager
def _next_version(servable: str | os.PathLike[str]) -> Iterator[int]:
    """Yield the number of the next version, while no other process adds one.

    On a file system without locks, the second of two processes fails, because its
    version's name is taken.
    """
    path = Path(servable)
    _next(versions_of(path))  # Nothing but a servable gets a lock.
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(open_locked(path / _LOCK_FILE, wait=True))
            # While it is locked, so that no other process removes the next one's.
            stack.callback((path / _LOCK_FILE).unlink, missing_ok=True)
        yield _next(versions_of(path))


def _check_not_fixed(name: str, about: dict[str, Any]) -> None:
    check_name(name, [])
    if name in about["tasks"]:
        raise UserError(
            f"The task {name!r} is fixed in the servable's newest version, which "
            "answers for it whatever is in tasks/. Choose another name, or remove the "
            "fixed task first."
        )


def check_name(name: str, others: list[str]) -> None:
    """Reject a task name that cannot name signatures or whose signatures exist.

    Args:
        name: The task's name.
        others: The names of the servable's other tasks.

    Raises:
        UserError: if the name is invalid; the text says why.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            "A task's name is a letter followed by letters, digits and underscores, "
            f"since it names signatures. Received: {name!r}"
        )
    if len(name) > MAX_NAME:
        raise UserError(
            f"A task's name has at most {MAX_NAME} characters. Received: {name!r}, "
            f"which has {len(name)}"
        )
    taken = {MIXED, DEFAULT, *others, *(f"{other}_text" for other in others)}
    if {name, f"{name}_text"} & taken:
        raise UserError(
            f"The task name {name!r} stands for the signatures {name!r} and "
            f"{name + '_text'!r}, and one of them is taken; choose another name."
        )


def _open(
    servable: str | os.PathLike[str], version: int | None = None
) -> tuple[LoadedBase, dict[str, ExportedTask]]:
    """Load the base and the tasks of a version, by default the newest."""
    check_can_write_warmup()
    path = Path(servable)
    directory = path / str(version or versions_of(path)[-1])
    about = read_servable_json(directory)
    _check_base(path, about)
    base = LoadedBase(path / BASE_DIR)
    bank = BankFile(directory).read_all()
    if about["live"]:
        layout = TaskLayout(base.layout)
        files = zip(about["tasks"], bank[FILES], strict=True)
        return base, {n: read_task_bytes(data, layout, n) for n, data in files}
    configs = [entry["config"] for entry in about["tasks"].values()]
    blank = 1 if about["embedding"] else 0
    if len(configs) + blank != len(bank["head/size"]):
        raise UserError(
            f"{directory / SERVABLE_FILE} must list the tasks of the version's bank. "
            f"Received: {len(configs)} tasks, and a bank of {len(bank['head/size'])}. "
            "Go on from an earlier version, or export the servable again."
        )
    tasks = split_bank(bank, configs, base.layout)
    return base, dict(zip(about["tasks"], tasks, strict=True))


def _check_base(servable: Path, about: dict[str, Any]) -> None:
    shard = servable / BASE_DIR / BASE_SHARD
    if not shard.is_file() or file_sha256(shard) != about["base_shard_sha256"]:
        raise UserError(
            f"The base's weights in {str(servable / BASE_DIR)!r} are not those of the "
            "servable: the file is missing, changed or corrupt. Export the servable "
            "again."
        )


def _next(versions: list[int]) -> int:
    """Return the number of a new version.

    Raises:
        UserError: if no int64 is above the newest.
    """
    if versions[-1] >= MAX_VERSION:
        raise UserError(
            f"A version is at most {MAX_VERSION}, and the newest has that number. "
            "Rename its folder to a smaller one."
        )
    return versions[-1] + 1


def _append(
    servable: Path,
    version: int,
    base: LoadedBase,
    tasks: dict[str, ExportedTask],
    changed: list[str],
) -> None:
    options = read_options(read_newest(servable))
    with new_directory(servable / str(version)) as directory:
        _write_version(base, tasks, changed, directory, options)


def _write_version(
    base: LoadedBase,
    tasks: dict[str, ExportedTask],
    changed: list[str],
    directory: Path,
    options: ServableOptions,
) -> None:
    save_version(base, tasks, directory, options)
    _check_version(base, tasks, changed, directory, options)
    write_version_warmup(directory)


def _check_version(
    base: LoadedBase,
    tasks: dict[str, ExportedTask],
    changed: list[str],
    directory: Path,
    options: ServableOptions,
) -> None:
    if not options.live:
        check_export(directory, servable_cases(base, tasks, changed, options))
        return
    # A copy that reads its live tasks from a folder of its own.
    with live_copy(base, directory) as (copy, live):
        check_export(copy, servable_cases(base, tasks | live, [], options))
