"""Write directories atomically, and link files."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from adapters_tf.errors import UserError
from adapters_tf.io import new_directory as _new_directory


@contextlib.contextmanager
def new_directory(
    path: str | os.PathLike[str], replace: bool = False
) -> Iterator[Path]:
    """Write a new directory as `io.new_directory` does, with helpful errors.

    Args:
        path: The final name; missing parents are created. Unless `replace` is true, it
            must be absent or an empty directory.
        replace: Whether to replace an existing directory.

    Raises:
        UserError: if the name is in use, or the files cannot be written.
    """
    path = Path(path)
    if not replace and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            f"The output directory must be new or empty. Received: {str(path)!r}, "
            "which exists; choose another one or remove it."
        )
    try:
        with _new_directory(path, replace) as temporary:
            yield temporary
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UserError(f"{str(path)!r} could not be written: {reason}") from error


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Apply `link_or_copy` to every file of a directory."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, copy)
