"""Checkpoints of a run: found, written, and restored from the newest intact one."""

import os
import re
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

import tensorflow as tf

from adapters_tf.errors import UserError

KEPT_CHECKPOINTS = 2
_NAME = re.compile(r"ckpt-(\d+)\.index")
# Every index file ends so: it is a table in LevelDB's format (doc/table_format.md).
_INDEX_END = 0xDB4775248B80FB57.to_bytes(8, "little")


def find_checkpoints(directory: str | os.PathLike[str]) -> list[str]:
    """Find the checkpoints in a directory.

    Looks at the checkpoints' own files: a killed process may leave the file
    `checkpoint`, which lists them, one checkpoint behind.

    TensorFlow writes the index of a checkpoint last and in place. If the only index is
    incomplete, the process was killed, or the disk was full, before there was anything
    to resume from, so it does not count. `restore_newest` skips later damaged ones.

    Returns:
        The checkpoints' names, as TensorFlow takes them, by ascending step.
    """
    indexes = _indexes(Path(directory))
    if len(indexes) == 1 and not _has_end(indexes[0]):
        return []
    return [str(index).removesuffix(".index") for index in indexes]


def _indexes(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    found = [(_NAME.fullmatch(entry.name), entry) for entry in directory.iterdir()]
    return [entry for _, entry in sorted((int(m[1]), e) for m, e in found if m)]


def _has_end(index: Path) -> bool:
    try:
        return index.read_bytes().endswith(_INDEX_END)
    except FileNotFoundError:
        # Another process, which keeps only the newest, has just removed it.
        return False


def restore_newest(
    checkpoint: tf.train.Checkpoint, directory: str | os.PathLike[str]
) -> str | None:
    """Restore the newest checkpoint that can be read.

    TensorFlow verifies a checksum of each tensor. For a truncated or damaged checkpoint
    this prints a line on stderr and takes the one before. A run that resumes from an
    earlier step ends in the same weights.

    Args:
        checkpoint: The objects to restore.
        directory: Directory of the checkpoints.

    Returns:
        Name of the checkpoint restored; `None` if there are none.

    Raises:
        UserError: There are checkpoints, and none of them can be read.
    """
    found = find_checkpoints(directory)
    reason = ""
    for path in reversed(found):
        try:
            checkpoint.restore(path).assert_consumed()
        except Exception as error:
            # TensorFlow raises many types for a truncated or foreign checkpoint.
            reason = str(error).strip().split("\n")[0]
            print(
                f"The checkpoint {path} cannot be read and is passed over: {reason}",
                file=sys.stderr,
                flush=True,
            )
        else:
            return path
    if found:
        raise UserError(
            f"No checkpoint in {os.fspath(directory)!r} can be read; the oldest is "
            f"{found[0]}: {reason}\nTo start anew, remove {os.fspath(directory)!r}, or "
            "give --overwrite to adapters-tf-train."
        )
    return None


def checkpoint_manager(
    checkpoint: tf.train.Checkpoint,
    directory: str | os.PathLike[str],
    step: tf.Variable,
    interval: int,
) -> tf.train.CheckpointManager:
    """Create a manager, and remove what a killed process left in the directory.

    Args:
        checkpoint: The objects to save.
        directory: Directory of the checkpoints.
        step: The global step.
        interval: Steps between two checkpoints.
    """
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    for left in path.glob("*_temp"):
        shutil.rmtree(left, ignore_errors=True)
    manager = tf.train.CheckpointManager(
        checkpoint,
        str(path),
        max_to_keep=KEPT_CHECKPOINTS,
        step_counter=step,
        checkpoint_interval=interval,
    )
    remove_unlisted(manager, keep=find_checkpoints(path)[-KEPT_CHECKPOINTS:])
    return manager


def remove_unlisted(
    manager: tf.train.CheckpointManager, keep: Collection[str] = ()
) -> None:
    """Remove checkpoints of processes that were killed before they listed them.

    Removes an incomplete first checkpoint too.

    Args:
        manager: The checkpoints that it lists stay.
        keep: Names of other checkpoints that stay.
    """
    listed = {os.path.basename(name) for name in [*manager.checkpoints, *keep]}
    for index in _indexes(Path(manager.directory)):
        if index.stem not in listed:
            for file in index.parent.glob(f"{index.stem}.*"):
                file.unlink(missing_ok=True)
