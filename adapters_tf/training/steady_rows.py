"""Rows of a file that is read more than once, and must be the same each time."""

import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from adapters_tf.errors import UserError


class Windows(Protocol):
    """Rows that are read some at a time, such as a `RowStream`."""

    def __len__(self) -> int:
        """Number of all rows."""

    def windows(self, size: int, start: int = 0) -> Iterator[Any]:
        """The rows from `start` on, `size` at a time."""


def about_file(path: str | os.PathLike[str]) -> list[Any] | None:
    """What shows that a file is the one that it was, as JSON values.

    Returns:
        Its path, size and time of change; `None` if there is none.
    """
    try:
        about = os.stat(path)
    except OSError:
        return None
    return [os.path.abspath(path), about.st_size, about.st_mtime_ns]


class SteadyRows:
    """Rows of a file that must not change while they are read.

    They are read twice, to check them and to predict them, and what was written before
    a kill counts for the same file only.

    Args:
        path: The file.
        read: Gives its rows, after a check of them; called here.

    Attributes:
        about: See `about_file`.

    Raises:
        UserError: from `windows`, once the file is another one.
    """

    def __init__(
        self, path: str | os.PathLike[str], read: Callable[[], Windows]
    ) -> None:
        self._path = path
        self.about = about_file(path)
        self._rows = read()

    def __len__(self) -> int:
        return len(self._rows)

    def windows(self, size: int, start: int = 0) -> Iterator[Any]:
        """The rows from `start` on, `size` at a time."""
        windows = self._rows.windows(size, start)
        while True:
            try:
                window = next(windows, None)
            finally:
                # Also where what it has become cannot be read.
                self._check()
            if window is None:
                return
            yield window

    def _check(self) -> None:
        if about_file(self._path) != self.about:
            raise UserError(
                "The file of rows must stay as it is until all are predicted. "
                f"Received: {str(self._path)!r}, which has changed. The same command "
                "begins anew, with the file as it is now."
            )
