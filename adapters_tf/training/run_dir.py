"""The output directory of a run: its files, who may write them, and how."""

import contextlib
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
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
# The run that `--overwrite` replaces, until the new one has ended.
ASIDE_DIR = ".replaced"
_RUN_FILES = (
    *(METRICS_FILE, HISTORY_FILE, ADAPTER_DIR, BEST_ADAPTER_DIR),
    *(CHECKPOINT_DIR, TENSORBOARD_DIR),
)
_LOCK_FILE = ".lock"
# What a run's settings hold beside its flags, and what to say of it.
_BASE = "base_fingerprint"
_CONTENTS = {
    "train_rows_sha256": "the training rows or labels have changed",
    "dev_rows_sha256": "the dev rows or labels have changed",
    _BASE: "the weights of the base have changed",
}
# A place that takes no more files, or none at all.
_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}
# TensorFlow writes `FILE; REASON`, and may append names of its own.
_REASON = re.compile(r"; ([^;.\[\n]+)")


def held_files(directory: Path) -> list[str]:
    """Names of the files in an output directory.

    Leaves out the lock file, and the temporary files of processes that were killed
    within `write_json`: they do not make the directory somebody else's.
    """
    return sorted(
        path.name
        for path in directory.iterdir()
        if path.name not in (_LOCK_FILE, ASIDE_DIR) and not _is_leftover(path)
    )


def _is_leftover(path: Path) -> bool:
    match = LEFTOVER.fullmatch(path.name)
    return match is not None and match[1].endswith((".json", ".jsonl"))


def _is_run(directory: Path) -> bool:
    return (directory / SETTINGS_FILE).is_file()


def read_metrics(directory: Path) -> dict[str, Any] | None:
    """Read `metrics.json` of a run; `None` if the run has not ended."""
    path = directory / METRICS_FILE
    return read_json(path) if path.is_file() else None


@contextlib.contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Create an output directory if need be, and lock it against other processes.

    Removes the temporary files of processes that were killed.

    Raises:
        UserError: The directory is in use or not writable.
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
    """Lock an output directory for one run.

    A new or empty directory starts a run, and one with an unfinished run of the same
    settings continues it. Any other directory is refused and left untouched.

    A run that is replaced lies in `.replaced/` until the block of the new one, or of
    the call that continues it, ends well. If the block fails before the first
    checkpoint, or the process is killed then, the old run gets its place back.

    Args:
        directory: The output directory.
        settings: The run's resolved settings, as JSON values.
        overwrite: Replace a run that is in the directory, finished or not.

    Yields:
        The directory, locked against other processes within the block.

    Raises:
        UserError: The directory holds a finished run, a run of other settings or other
            files, or is in use or not writable. Or writing to it failed.
    """
    path = Path(directory)
    with lock_directory(path), contextlib.ExitStack() as stack:
        check_run(path, settings, overwrite)
        stack.enter_context(_keep_replaced(path, overwrite))
        # `check_base` compares with the old base when the new one is known.
        old = _read_settings(path)
        kept = {_BASE: old[_BASE]} if _BASE in old else {}
        write_json(path / SETTINGS_FILE, kept | settings)
        try:
            yield path
        except OSError as error:
            raise _write_failed(path, error.strerror or str(error)) from error
        except UserError as error:
            # `write_json` names the file, but not what to do about it.
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in _DISK_ERRORS:
                raise
            if str(path) not in str(error):
                raise
            raise _write_failed(path, cause.strerror or str(cause)) from error
        except tf.errors.OpError as error:
            # TensorFlow's writers name the file that they could not write.
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
    """Refuse a path where no file can be created, without creating one."""
    existing = path
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise _not_writable(path, f"{str(existing)!r} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _not_writable(path, f"{str(existing)!r} is not writable")


def _write_failed(path: Path, reason: str) -> UserError:
    return UserError(
        f"Writing to output_dir {str(path)!r} failed: {reason}. What was saved before "
        "is unharmed; the same command goes on from there."
    )


def require_free_space(path: Path, num_bytes: int) -> None:
    """Refuse to start a run that will not fit on the disk.

    Args:
        path: The output directory.
        num_bytes: Bytes that the run will write.

    Raises:
        UserError: The disk has less space.
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
    """Refuse what `open_run` would refuse, before any work; change nothing.

    A run without a checkpoint has nothing to lose: other settings may replace it.

    Args:
        directory: The output directory, which need not exist.
        settings: The run's resolved settings, as JSON values.
        overwrite: Whether to replace a run that is there.

    Raises:
        UserError: The directory cannot be written, or holds what `open_run` refuses.
    """
    path = Path(directory)
    _check_writable(path)
    if not path.is_dir():
        return
    files = held_files(path)
    run = path / ASIDE_DIR if _lies_aside(path) else path
    if not files and run == path:
        return
    if not _is_run(run):
        raise UserError(
            "output_dir must be new, empty, or hold an earlier run. Received: "
            f"{str(path)!r}, which holds other files: {', '.join(files[:5])}"
        )
    if overwrite:
        return
    # A process that was killed may have left a run in both places.
    places = {run, path}
    if any((place / METRICS_FILE).is_file() for place in places):
        raise UserError(
            f"output_dir {str(path)!r} holds a finished run. Choose another "
            "output_dir, or give --overwrite to replace it."
        )
    if not any(find_checkpoints(place / CHECKPOINT_DIR) for place in places):
        return
    old = _read_settings(run)
    changed = [
        f"{k} was {old.get(k)!r} and is {settings.get(k)!r}"
        for k in sorted({*old, *settings} - {*_CONTENTS})
        if old.get(k) != settings.get(k)
    ]
    _refuse_changed(path, changed + _changed_contents(old, settings))


def check_base(path: Path, fingerprint: str | None) -> None:
    """Refuse to continue a run in this directory on another base; record the base.

    Args:
        path: The output directory, within `open_run`.
        fingerprint: The base's; `None` if it is unknown.

    Raises:
        UserError: The directory's checkpoints are of another base.
    """
    old, new = _read_settings(path), {_BASE: fingerprint}
    if find_checkpoints(path / CHECKPOINT_DIR):
        _refuse_changed(path, _changed_contents(old, new))
    write_json(path / SETTINGS_FILE, old | new)


def _read_settings(run: Path) -> dict[str, Any]:
    """Return the settings of a run's directory; `{}` if it has none."""
    file = run / SETTINGS_FILE
    try:
        return dict(read_json(file)) if file.is_file() else {}
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{file} is damaged: {error}. Choose another output_dir, or remove this "
            "one: adapters-tf-train does so with --overwrite."
        ) from error


def _changed_contents(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Say which contents, known of both runs, differ."""
    both = [k for k in _CONTENTS if old.get(k) and new.get(k)]
    return [_CONTENTS[k] for k in both if old[k] != new[k]]


def _refuse_changed(path: Path, changed: list[str]) -> None:
    if changed:
        raise UserError(
            f"output_dir {str(path)!r} holds an unfinished run of other settings "
            f"({'; '.join(changed)}). Give the same settings to continue it, another "
            "output_dir, or --overwrite to replace it."
        )


@contextlib.contextmanager
def _keep_replaced(path: Path, overwrite: bool) -> Iterator[None]:
    """Set the run aside that is to be replaced; put it back if the block fails early.

    `settings.json` is the first file to move away and the last to come back: where it
    is missing, the other files are those of the run that lies aside.
    """
    aside = path / ASIDE_DIR
    if _lies_aside(path):
        _put_back(path)
    if overwrite and _is_run(path):
        # A run that itself replaces another, and has not ended, is not kept.
        if _is_run(aside) and not (path / METRICS_FILE).is_file():
            _remove_run(path)
        else:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            _move_run(path, aside, (SETTINGS_FILE, *_RUN_FILES))
    try:
        yield
    except BaseException:
        if _lies_aside(path):
            _put_back(path)
        elif _is_run(aside):
            print(
                f"The run that this one replaces is in {str(aside)!r} until this one "
                "has ended.",
                file=sys.stderr,
            )
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _lies_aside(path: Path) -> bool:
    """Whether the directory's run is set aside, and nothing of the new one is saved."""
    began = (path / METRICS_FILE).is_file() or find_checkpoints(path / CHECKPOINT_DIR)
    return _is_run(path / ASIDE_DIR) and not (_is_run(path) and began)


def _put_back(path: Path) -> None:
    if _is_run(path):
        _remove_run(path)
    _move_run(path / ASIDE_DIR, path, (*_RUN_FILES, SETTINGS_FILE))
    shutil.rmtree(path / ASIDE_DIR, ignore_errors=True)


def _move_run(source: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            (source / name).rename(target / name)


def _remove_run(path: Path) -> None:
    for name in _RUN_FILES:
        if (path / name).is_dir():
            shutil.rmtree(path / name, ignore_errors=True)
        else:
            (path / name).unlink(missing_ok=True)
    (path / SETTINGS_FILE).unlink(missing_ok=True)


class History:
    """The dev metrics of each epoch, which `add` writes to `history.json` at once.

    Args:
        directory: The run's directory.
        writes: Whether this process writes the file.
        epochs: Number of epochs that the restored checkpoint completed. Later epochs in
            the file, from a checkpoint that could not be read, are dropped.

    Attributes:
        epochs: A dictionary for each epoch; see `add`.
    """

    def __init__(self, directory: Path, writes: bool, epochs: int) -> None:
        self._path = directory / HISTORY_FILE
        self._writes = writes
        self.epochs: list[dict[str, Any]] = []
        if self._path.is_file():
            try:
                self.epochs = read_json(self._path)["epochs"][:epochs]
                for epoch in self.epochs:
                    _first_metric(epoch)
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                # Not written by `write_json`, so not ours: measure again.
                self.epochs = []

    @property
    def scores(self) -> dict[str, float]:
        """Dev metrics of the last epoch."""
        return self.epochs[-1]["dev"]

    @property
    def best(self) -> dict[str, Any]:
        """The epoch with the highest first dev metric, and of equals the first."""
        return max(self.epochs, key=_first_metric)

    def is_best(self, dev: dict[str, float]) -> bool:
        """Whether the first of these metrics is above that of every epoch so far."""
        return all(_first_metric({"dev": dev}) > _first_metric(e) for e in self.epochs)

    def add(self, epoch: dict[str, Any]) -> None:
        """Add an epoch: `epoch` (from 1), `step`, `dev`, and `confusion` of classes."""
        self.epochs.append(epoch)
        if self._writes:
            write_json(self._path, {"epochs": self.epochs})


def _first_metric(epoch: dict[str, Any]) -> float:
    value = float(list(epoch["dev"].values())[0])
    return value if value == value else float("-inf")
