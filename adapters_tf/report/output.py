"""The report's directory, which appears whole or not at all."""

import contextlib
import os
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
    check_output(path, overwrite)
    with new_directory(path, replace=overwrite) as temporary:
        yield temporary
