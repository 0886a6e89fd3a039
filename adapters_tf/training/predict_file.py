"""Predictions for a file of any size, which go on where they were stopped."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from adapters_tf.errors import UserError
from adapters_tf.training.run_dir import write_json

_SECONDS_BETWEEN_LINES = 10
_CHUNK = 1 << 20


class Windows(Protocol):
    """Rows that are read some at a time, such as a `RowStream`."""

    def __len__(self) -> int:
        """Number of all rows."""

    def windows(self, size: int, start: int = 0) -> Iterator[Any]:
        """The rows from `start` on, `size` at a time."""


class PredictionFile:
    """A file of JSON lines, one a row, that is whole or absent.

    Rows are predicted a window at a time, in the order of the input. Finished windows
    are kept beside it, in a file with a dot before the name; a program that was killed
    goes on behind the last whole one, to the same bytes.

    Args:
        path: The file to make.
        settings: All that the predictions follow from, as JSON values. What was kept
            of other settings is not used.
        window: Rows at a time.
    """

    def __init__(
        self, path: str | os.PathLike[str], settings: dict[str, Any], window: int
    ) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(f".{self._path.name}.partial")
        self._about = self._path.with_name(f".{self._path.name}.partial.json")
        self._settings = {**settings, "window": window}
        self._window = window

    def write(
        self, rows: Windows, predict: Callable[[Any], Sequence[dict[str, Any]]]
    ) -> int:
        """Predict and write all rows that are not there yet.

        Args:
            rows: The rows.
            predict: Gives a record for each row of a window.

        Returns:
            How many rows were there already.

        Raises:
            UserError: if the place cannot be written, or another process writes it.
        """
        try:
            with self._open() as file:
                start = self._resume(file)
                if start:
                    print(f"going on behind row {start:,} of {len(rows):,}", flush=True)
                self._predict(file, rows, predict, start)
                os.replace(self._partial, self._path)
                self._about.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"--output {str(self._path)!r} could not be written: {error.strerror}"
            ) from error
        return start

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with open(self._partial, "a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"Another process is writing {str(self._path)!r}. Wait for it, or "
                    "choose another output."
                ) from None
            try:
                yield file
            finally:
                # Nothing to go on from: leave nothing.
                if self._partial.exists() and not self._partial.stat().st_size:
                    self._about.unlink(missing_ok=True)
                    self._partial.unlink(missing_ok=True)

    def _resume(self, file: IO[bytes]) -> int:
        """Cut the file behind its last whole window; returns the rows before that."""
        try:
            about = json.loads(self._about.read_text("utf-8"))
        except (OSError, ValueError):
            about = None
        if about != json.loads(json.dumps(self._settings)):
            file.truncate(0)
            write_json(self._about, self._settings)
            return 0
        file.seek(0)
        lines, end, at = 0, 0, 0
        while chunk := file.read(_CHUNK):
            found = chunk.find(b"\n")
            while found >= 0:
                lines += 1
                if lines % self._window == 0:
                    end = at + found + 1
                found = chunk.find(b"\n", found + 1)
            at += len(chunk)
        file.truncate(end)
        return lines - lines % self._window

    def _predict(
        self,
        file: IO[bytes],
        rows: Windows,
        predict: Callable[[Any], Sequence[dict[str, Any]]],
        start: int,
    ) -> None:
        done, began, shown = start, time.monotonic(), time.monotonic()
        for window in rows.windows(self._window, start):
            records = predict(window)
            text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
            file.write(text.encode())
            file.flush()
            done += len(records)
            if time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
                shown = time.monotonic()
                speed = (done - start) / (shown - began)
                print(f"{done:,} of {len(rows):,} rows, {speed:,.0f}/s", flush=True)
        os.fsync(file.fileno())
