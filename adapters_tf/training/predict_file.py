"""Predictions for a file of any size, which go on where they were stopped."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from adapters_tf.errors import UserError
from adapters_tf.io import is_open_file, open_locked, read_json, write_json
from adapters_tf.training.steady_rows import Windows

_SECONDS_BETWEEN_LINES = 10
_CHUNK = 1 << 20


def require_new(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Refuse an output that is there, unless it is a file that shall be replaced.

    Args:
        path: The output.
        overwrite: Whether a file that is there shall be replaced.
        source: What is read, and never replaced.

    Raises:
        UserError: It is there.
    """
    if path.exists() and not path.is_file():
        raise UserError(
            f"--output must be a file. Received: {str(path)!r}, which is "
            f"{'a directory; name a file in it' if path.is_dir() else 'none'}."
        )
    if source and path.exists() and source.exists() and path.samefile(source):
        raise UserError(
            f"--output must be another file than the rows'. Received: {str(path)!r} "
            "for both."
        )
    if path.exists() and not overwrite:
        raise UserError(
            f"--output must be a new file. {str(path)!r} exists; give --overwrite to "
            "replace it."
        )


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
        overwrite: Replace the file if it is there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: dict[str, Any],
        window: int,
        overwrite: bool = False,
    ) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(f".{self._path.name}.partial")
        self._about = self._path.with_name(f".{self._path.name}.partial.json")
        self._settings = {**settings, "window": window}
        self._window = window
        self._overwrite = overwrite

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
            UserError: if the place cannot be written, is taken, or another process
                writes it; or if there are more or fewer predictions than rows.
        """
        with self._open() as file:
            with self._writing():
                start = self._resume(file)
            if start:
                print(f"going on behind row {start:,} of {len(rows):,}", flush=True)
            done = self._predict(file, rows, predict, start)
            with self._writing():
                if done != len(rows):
                    file.truncate(0)  # of which rows they are is not known
                    raise UserError(
                        f"{str(self._path)!r} must get a prediction for each of "
                        f"{len(rows):,} rows. Received: {done:,}; did the file of rows "
                        "change meanwhile? Nothing is kept; the same command begins "
                        "anew."
                    )
                os.fsync(file.fileno())
                os.replace(self._partial, self._path)
                self._about.unlink(missing_ok=True)
        return start

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Around what concerns the output; rows and models have errors of their own."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"--output {str(self._path)!r} could not be written: {error.strerror}"
            ) from error

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with self._writing():
            file = self._locked()
        try:
            # Again: who held the lock may have made it.
            require_new(self._path, self._overwrite)
            yield file
        finally:
            with self._writing(), file:
                # Nothing to go on from: leave nothing.
                empty = not os.fstat(file.fileno()).st_size
                if empty and is_open_file(file, self._partial):
                    self._about.unlink(missing_ok=True)
                    self._partial.unlink(missing_ok=True)

    def _locked(self) -> IO[bytes]:
        """The unfinished file, which no other process writes."""
        try:
            return open_locked(self._partial)
        except BlockingIOError:
            raise UserError(
                f"Another process is writing {str(self._path)!r}. Wait for it, or "
                "choose another output."
            ) from None

    def _resume(self, file: IO[bytes]) -> int:
        """Cut the file behind its last whole window; returns the rows before that."""
        try:
            about = read_json(self._about)
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
    ) -> int:
        """Append what is missing; returns how many rows there are then."""
        done, began, shown = start, time.monotonic(), time.monotonic()
        for window in rows.windows(self._window, start):
            records = predict(window)
            text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
            with self._writing():
                file.write(text.encode())
                file.flush()
            done += len(records)
            if time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
                shown = time.monotonic()
                speed = (done - start) / (shown - began)
                print(f"{done:,} of {len(rows):,} rows, {speed:,.0f}/s", flush=True)
        return done
