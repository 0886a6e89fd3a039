"""The report's directory, which appears whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from adapters_tf.errors import UserError
from adapters_tf.export.directories import new_directory

PAGE = "report.html"
TEXT = "report.md"
TABLES = "tables"
FIGURES = "figures"
_OWN = {PAGE, TEXT, TABLES, FIGURES}


def check_output(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse a directory that the report cannot go to, before any work.

    Raises:
        UserError: if it is in use, unless an earlier report is all that it holds and
            `overwrite` is given.
    """
    path = Path(path)
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"output_dir must be a directory. Received: {str(path)!r}")
    held = sorted(entry.name for entry in path.iterdir())
    if not held:
        return
    others = [name for name in held if name not in _OWN]
    if others or PAGE not in held:
        raise UserError(
            "output_dir must be new, empty, or hold an earlier report. Received: "
            f"{str(path)!r}, which holds other files: {', '.join((others or held)[:5])}"
        )
    if not overwrite:
        raise UserError(
            f"output_dir {str(path)!r} holds a report. Choose another output_dir, or "
            "give --overwrite to replace it."
        )


@contextlib.contextmanager
def report_directory(path: str | os.PathLike[str], overwrite: bool) -> Iterator[Path]:
    """A temporary directory that becomes `path` when the block has ended well.

    Raises:
        UserError: as `check_output`, or if the files cannot be written.
    """
    path = Path(path)
    check_output(path, overwrite)
    if not path.is_dir() or not any(path.iterdir()):
        with new_directory(path) as temporary:
            yield temporary
        return
    fresh, old = (
        path.with_name(f".{path.name}.{os.getpid()}.{kind}") for kind in ("new", "old")
    )
    with new_directory(fresh) as temporary:
        yield temporary
    try:
        os.rename(path, old)
        os.rename(fresh, path)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"{str(path)!r} could not be replaced: {reason}") from error
    finally:
        if not path.exists() and old.exists():
            os.rename(old, path)
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
