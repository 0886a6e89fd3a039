"""A run's checkpoints: written whole, and restored from the newest that is whole."""

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
# The end of each index, a table in LevelDB's format (doc/table_format.md there).
_INDEX_END = 0xDB4775248B80FB57.to_bytes(8, "little")


def find_checkpoints(directory: str | os.PathLike[str]) -> list[str]:
    """The checkpoints of a directory by step, ascending, as TensorFlow names them.

    By their own files, since a process that is killed may leave the file
    `checkpoint`, which lists them, a step behind.

    A run's first one counts when its index has its end. TensorFlow writes the index
    last, and in its place: without it the process was killed, or the disk full, before
    there was anything to go on from. Of later ones a damaged one is passed over by
    `restore_newest`.
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
        # Another process, which keeps the newest only, has removed it meanwhile.
        return False


def restore_newest(
    checkpoint: tf.train.Checkpoint, directory: str | os.PathLike[str]
) -> str | None:
    """Restore the newest checkpoint that can be read.

    TensorFlow compares a checksum of each tensor. A checkpoint that is truncated or
    damaged is named on stderr, and the one before is taken: a run that goes on from
    an earlier step ends in the same weights.

    Args:
        checkpoint: What to restore.
        directory: Where the checkpoints lie.

    Returns:
        The one that was restored; `None` if there are none.

    Raises:
        UserError: if there are checkpoints, and none can be read.
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
            f"{found[0]}: {reason}\nGive --overwrite to start anew."
        )
    return None


def checkpoint_manager(
    checkpoint: tf.train.Checkpoint,
    directory: str | os.PathLike[str],
    step: tf.Variable,
    interval: int,
) -> tf.train.CheckpointManager:
    """A manager of a directory in which a process may have been killed.

    Args:
        checkpoint: What to save.
        directory: Where to.
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

    A first one that was not written to its end goes too.

    Args:
        manager: What it lists stays.
        keep: What stays too.
    """
    listed = {os.path.basename(name) for name in [*manager.checkpoints, *keep]}
    for index in _indexes(Path(manager.directory)):
        if index.stem not in listed:
            for file in index.parent.glob(f"{index.stem}.*"):
                file.unlink(missing_ok=True)
