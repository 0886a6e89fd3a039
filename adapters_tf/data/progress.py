"""A line on a terminal that says how far a download has come."""

import sys
import time
from types import TracebackType

_MEGABYTE = 1e6


class Progress:
    """Shows one download on stderr; silent where stderr is not a terminal.

    Args:
        name: What is downloaded.
        total: Its size in bytes, or 0 where that is not known.
    """

    def __init__(self, name: str, total: int):
        self._name = name
        self._total = total
        self._done = 0
        self._shown_at = 0.0
        self._on = sys.stderr is not None and sys.stderr.isatty()

    def add(self, count: int) -> None:
        """Counts `count` more bytes as done."""
        self._done += count
        # More often than this costs time and flickers.
        if time.monotonic() - self._shown_at > 0.1:
            self._show()

    def _show(self) -> None:
        if not self._on:
            return
        self._shown_at = time.monotonic()
        of_total = f" of {self._total / _MEGABYTE:.1f}" if self._total else ""
        done = f"{self._done / _MEGABYTE:.1f}{of_total} MB"
        print(f"\rDownloading {self._name}: {done}", end="", file=sys.stderr)
        sys.stderr.flush()

    def __enter__(self) -> "Progress":
        self._show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._show()
        if self._on:
            print(file=sys.stderr)
