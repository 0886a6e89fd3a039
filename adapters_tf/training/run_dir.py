"""The output directory of a run: who may write it, and how."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.io import LEFTOVER, free_space, open_locked, read_json, write_json
from adapters_tf.training.checkpoints import find_checkpoints

SETTINGS_FILE = "settings.json"
METRICS_FILE = "metrics.json"
ADAPTER_DIR = "adapter"
BEST_ADAPTER_DIR = "best_adapter"
CHECKPOINT_DIR = "checkpoints"
TENSORBOARD_DIR = "tensorboard"
HISTORY_FILE = "history.json"
_LOCK_FILE = ".lock"
# Of a place that takes no more, or nothing.
_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}
# TensorFlow writes `FILE; REASON`, and may go on with names of its own.
_REASON = re.compile(r"; ([^;.\[\n]+)")


def held_files(directory: Path) -> list[str]:
    """Names in an output directory, without this program's lock and unfinished files.

    A process killed in the middle of `write_json` leaves its temporary file. It is no
    reason to take the directory for somebody else's.
    """
    return sorted(
        path.name
        for path in directory.iterdir()
        if path.name != _LOCK_FILE and not _is_leftover(path)
    )


def _is_leftover(path: Path) -> bool:
    match = LEFTOVER.fullmatch(path.name)
    return match is not None and match[1].endswith((".json", ".jsonl"))


def _is_run(directory: Path) -> bool:
    return (directory / SETTINGS_FILE).is_file()


def read_metrics(directory: Path) -> dict[str, Any] | None:
    """What is in `metrics.json` of a run's directory; `None` if it has not ended."""
    path = directory / METRICS_FILE
    return read_json(path) if path.is_file() else None


@contextlib.contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Make an output directory if need be, and keep other processes from it.

    Unfinished files of a killed process are removed.

    Raises:
        UserError: if it is in use or not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open_locked(path / _LOCK_FILE)
    except BlockingIOError:
        raise UserError(
            f"Another run is writing to output_dir {str(path)!r}. Wait for it, or "
            "choose another output_dir."
        ) from None
    except OSError as error:
        raise _not_writable(path, error.strerror or str(error)) from error
    with lock:
        for leftover in filter(_is_leftover, path.glob(".*.tmp")):
            leftover.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def open_run(
    directory: str | os.PathLike[str], settings: dict[str, Any], overwrite: bool
) -> Iterator[Path]:
    """Claim an output directory for one run.

    A new or empty directory begins a run. One that holds an unfinished run of
    the same settings continues it. Anything else is refused, and nothing in it
    is touched.

    Args:
        directory: The output directory.
        settings: The run's resolved settings, as JSON values.
        overwrite: Start anew where a run, finished or not, is already there.

    Yields:
        The directory. It is locked against other processes meanwhile.

    Raises:
        UserError: if the directory holds a finished run, a run of other
            settings, files of something else, is in use, or not writable.
    """
    path = Path(directory)
    with lock_directory(path):
        check_run(path, settings, overwrite)
        if overwrite:
            _remove_run(path)
        write_json(path / SETTINGS_FILE, settings)
        try:
            yield path
        except OSError as error:
            raise _write_failed(path, error.strerror or str(error)) from error
        except UserError as error:
            # What writes whole files says so itself, but not what to do.
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in _DISK_ERRORS:
                raise
            if str(path) not in str(error):
                raise
            raise _write_failed(path, cause.strerror or str(cause)) from error
        except tf.errors.OpError as error:
            # TensorFlow's own writers name the file they could not write.
            if str(path) not in error.message:
                raise
            reasons = _REASON.findall(error.message) or [error.message]
            raise _write_failed(path, reasons[-1].strip()) from error


def _not_writable(path: Path, reason: str) -> UserError:
    return UserError(
        "output_dir must be a directory that can be written. Received: "
        f"{str(path)!r}: {reason}"
    )


def _check_writable(path: Path) -> None:
    """Refuse a place where no file can be made, without making one."""
    place = path
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise _not_writable(path, f"{str(place)!r} is not a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise _not_writable(path, f"{str(place)!r} is not writable")


def _write_failed(path: Path, reason: str) -> UserError:
    return UserError(
        f"Writing to output_dir {str(path)!r} failed: {reason}. What was saved before "
        "is unharmed; the same command goes on from there."
    )


def require_free_space(path: Path, num_bytes: int) -> None:
    """Refuse to start where the disk has less room than the run will take.

    Args:
        path: The output directory.
        num_bytes: What the run will write.

    Raises:
        UserError: if less is free.
    """
    free = free_space(path)
    if free < num_bytes:
        raise UserError(
            f"The run needs {num_bytes / 1e6:.1f} MB in output_dir {str(path)!r}. "
            f"Received: a disk with {free / 1e6:.1f} MB free."
        )


def check_run(
    directory: str | os.PathLike[str], settings: dict[str, Any], overwrite: bool
) -> None:
    """Refuse what `open_run` will refuse, before any work, and change nothing.

    A run that has no checkpoint yet has nothing to lose, and may be begun anew
    with other settings.

    Args:
        directory: The output directory, which need not exist.
        settings: The run's resolved settings, as JSON values.
        overwrite: Whether a run that is there may be replaced.

    Raises:
        UserError: if the directory cannot be written, or holds a finished run, a
            run of other settings, or files of something else.
    """
    path = Path(directory)
    _check_writable(path)
    if not path.is_dir():
        return
    files = held_files(path)
    if not files:
        return
    if not _is_run(path):
        raise UserError(
            "output_dir must be new, empty, or hold an earlier run. Received: "
            f"{str(path)!r}, which holds other files: {', '.join(files[:5])}"
        )
    if overwrite:
        return
    if (path / METRICS_FILE).is_file():
        raise UserError(
            f"output_dir {str(path)!r} holds a finished run. Choose another "
            "output_dir, or give --overwrite to replace it."
        )
    if not find_checkpoints(path / CHECKPOINT_DIR):
        return
    old = read_json(path / SETTINGS_FILE)
    changed = [
        f"{k} was {old.get(k)!r} and is {settings.get(k)!r}"
        for k in sorted({*old, *settings})
        if old.get(k) != settings.get(k)
    ]
    if changed:
        raise UserError(
            f"output_dir {str(path)!r} holds an unfinished run of other settings "
            f"({'; '.join(changed)}). Give the same settings to continue it, another "
            "output_dir, or --overwrite to replace it."
        )


def _remove_run(path: Path) -> None:
    for name in (METRICS_FILE, SETTINGS_FILE, HISTORY_FILE):
        (path / name).unlink(missing_ok=True)
    for name in (ADAPTER_DIR, BEST_ADAPTER_DIR, CHECKPOINT_DIR, TENSORBOARD_DIR):
        shutil.rmtree(path / name, ignore_errors=True)
