"""Files and directories that appear whole or not at all; locks, JSON and hashes.

Everything else in this package that replaces a file or a directory does it through
`new_file` or `new_directory`: write under a temporary name beside the final one, force
the bytes to the disk, rename. A reader sees the old content or the new one, never a
part, whenever the process is killed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from adapters_tf.errors import UserError

# The name that `new_file` leaves behind when its process is killed. Group 1 is the
# name of the file that was being written.
LEFTOVER = re.compile(r"\.(.+)\.[0-9a-f]+\.tmp")
_TMP = ".tmp"


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path; the file written there becomes `path`.

    When the block ends well, the file replaces whatever file is at `path`. When it
    fails, the temporary file is removed and `path` stays as it was.

    Args:
        path: The final name, in a directory that exists.

    Raises:
        OSError: if the file cannot be written or renamed.
    """
    path = Path(path)
    # Random, because containers that share a file system may share process numbers.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file, whole or not at all; text as UTF-8 with its line ends as given.

    Raises:
        OSError: if it cannot be written. An earlier file stays as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    with new_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a value as JSON, whole or not at all.

    Raises:
        UserError: if the file cannot be written. An earlier file stays as it was.
    """
    try:
        write_file(path, json.dumps(value, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it does not hold JSON.
    """
    return parse_json(Path(path).read_text(encoding="utf-8"))


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text that anybody may have written.

    Raises:
        ValueError: if it is no JSON, or nested a thousand times and more.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("too many brackets inside one another") from error


@contextlib.contextmanager
def new_directory(
    path: str | os.PathLike[str], replace: bool = False, keep_others: bool = False
) -> Iterator[Path]:
    """Yields a temporary directory that becomes `path` when the block ends well.

    When the block fails, the temporary directory is removed and `path` stays as it was.
    What a killed process left of the same directory is removed first.

    Args:
        path: The final name; its parent is made. It must be absent or an empty
            directory, unless `replace` is true.
        replace: Whether to replace a directory that is there. It keeps its name until
            the new one is complete, and gets it back if the last rename fails.
        keep_others: With `replace`, move the entries of the old directory that the new
            one lacks into the new one.

    Raises:
        OSError: if a file cannot be written, or the directory cannot be renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary, lock = _make_temporary(path)
    try:
        # `mkdtemp` lets only the owner in.
        temporary.chmod(0o755)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        if replace and path.exists():
            _replace_directory(temporary, path, keep_others)
        else:
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _make_temporary(path: Path) -> tuple[Path, int]:
    """Makes a directory beside `path`; its lock says that its process lives."""
    while True:
        temporary = Path(
            tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_TMP, dir=path.parent)
        )
        lock = _try_lock(temporary)
        # Another process may have taken it for a leftover before it was locked.
        if lock is not None and temporary.is_dir():
            return temporary, lock
        if lock is not None:
            os.close(lock)


def _remove_leftovers(path: Path) -> None:
    """Removes the temporary directories of killed processes that were to be `path`."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(_TMP)}")
    try:
        entries = list(os.scandir(path.parent))
    except OSError:
        return  # A directory may be open for writing and not for reading.
    for entry in entries:
        if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            lock = _try_lock(Path(entry.path), needed=True)
            if lock is not None:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(lock)


def _try_lock(directory: Path, needed: bool = False) -> int | None:
    """Locks a directory.

    Args:
        directory: The directory.
        needed: Whether a file system without locks counts as a failure.

    Returns:
        A file descriptor to close, or `None` if the directory is gone or locked.
    """
    try:
        lock = os.open(directory, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if needed or isinstance(error, BlockingIOError):
            os.close(lock)
            return None
    return lock


def _replace_directory(new: Path, path: Path, keep_others: bool) -> None:
    # No system call replaces a full directory, so the old one moves aside first.
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    old = aside / path.name
    try:
        path.rename(old)
        try:
            new.rename(path)
        except OSError:
            old.rename(path)
            raise
    except OSError:
        # Not rmtree: where the way back failed too, this holds the only copy.
        with contextlib.suppress(OSError):
            aside.rmdir()
        raise
    if keep_others:
        for entry in old.iterdir():
            if not (path / entry.name).exists():
                entry.rename(path / entry.name)
    shutil.rmtree(aside, ignore_errors=True)


def _flush(file: Path) -> None:
    """Forces the bytes of a file to the disk."""
    with open(file, "rb") as f:
        os.fsync(f.fileno())


def open_locked(path: str | os.PathLike[str], wait: bool = False) -> IO[bytes]:
    """Opens a file to read and append, and keeps other processes from locking it.

    Closing the file releases the lock, and so does the end of the process.

    Args:
        path: The file; made if it is absent.
        wait: Whether to wait while another process holds the lock.

    Returns:
        The file that has this name now, even if another process renamed or removed an
        earlier one in the meantime.

    Raises:
        BlockingIOError: if another process holds the lock and `wait` is false.
        OSError: if the file cannot be opened, or its file system has no locks.
    """
    while True:
        file = open(path, "a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BaseException:
            file.close()
            raise
        if is_open_file(file, path):
            return file
        file.close()


def is_open_file(file: IO[bytes], path: str | os.PathLike[str]) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def free_space(path: str | os.PathLike[str]) -> int:
    """Free bytes on the disk where this file or directory is, or would be made."""
    path = Path(path).absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
