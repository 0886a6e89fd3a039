"""Prediction of files of any size, which resumes where it was stopped."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from adapters_tf.errors import UserError
from adapters_tf.io import is_open_file, open_locked, read_json, write_json

_SECONDS_BETWEEN_LINES = 10
_CHUNK = 1 << 20


def require_new(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Refuse an output that exists, unless it is a file to overwrite.

    Args:
        path: The output.
        overwrite: Whether to replace an existing file.
        source: The input, which is never replaced.

    Raises:
        UserError: The output must not be written.
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


class Windows(Protocol):
    """Rows that are read in windows, such as a `RowStream`."""

    def __len__(self) -> int:
        """Number of rows."""

    def windows(self, size: int, start: int = 0) -> Iterator[Any]:
        """The rows from `start` on, in windows of `size` rows."""


def file_version(path: str | os.PathLike[str]) -> list[Any] | None:
    """Identify the present content of a file, by JSON values.

    Returns:
        Its path, size and times of change; `None` if it does not exist. Programs can
        set one of the times, as `cp -p` does, but not the other.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return [os.path.abspath(path), status.st_size, *times]


class UnchangedRows:
    """Rows of a file, which must not change while they are read.

    The program reads the file twice, to check it and to predict its rows. Predictions
    that an earlier, killed program wrote are valid for the same file only.

    Args:
        path: The file.
        read: Function that checks the rows of the file and returns them; called here.

    Attributes:
        version: The `file_version` of the file.

    Raises:
        UserError: The file has changed; raised by `windows`.
    """

    def __init__(
        self, path: str | os.PathLike[str], read: Callable[[], Windows]
    ) -> None:
        self._path = path
        self.version = file_version(path)
        self._rows = read()

    def __len__(self) -> int:
        return len(self._rows)

    def windows(self, size: int, start: int = 0) -> Iterator[Any]:
        """The rows from `start` on, in windows of `size` rows."""
        windows = self._rows.windows(size, start)
        while True:
            try:
                window = next(windows, None)
            finally:
                # Even if the changed file cannot be read.
                self._check()
            if window is None:
                return
            yield window

    def _check(self) -> None:
        if file_version(self._path) != self.version:
            raise UserError(
                "The file of rows must stay as it is until all rows are predicted. "
                f"Received: {str(self._path)!r}, which has changed. Run the same "
                "command again to predict the rows that it holds now."
            )


class PredictionFile:
    """A file of JSON lines, one for each row, that appears when it is complete.

    `write` predicts the rows one window at a time, in the order of the input. It keeps
    finished windows in a file beside the output, with a dot before the name. After a
    kill, the next call resumes behind the last whole window and ends in the same bytes.

    Args:
        path: The output.
        settings: All that the predictions depend on, as JSON values. Windows from a
            call with other settings are discarded.
        window: Rows of a window.
        overwrite: Whether to replace an existing output.
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
        self._settings_file = self._path.with_name(f".{self._path.name}.partial.json")
        self._settings = {**settings, "window": window}
        self._window = window
        self._overwrite = overwrite

    def write(
        self, rows: Windows, predict: Callable[[Any], Sequence[dict[str, Any]]]
    ) -> int:
        """Predict the rows that an earlier call has not, and write the output.

        Args:
            rows: The rows.
            predict: Function that returns a record for each row of a window.

        Returns:
            Number of rows that an earlier call had predicted.

        Raises:
            UserError: The output exists or cannot be written, or another process is
                writing it; or there are more or fewer predictions than rows.
        """
        with self._open() as file:
            with self._writing():
                start = self._resume(file)
            if start:
                print(f"going on behind row {start:,} of {len(rows):,}", flush=True)
            done = self._predict(file, rows, predict, start)
            with self._writing():
                if done != len(rows):
                    file.truncate(0)  # nobody knows which rows they belong to
                    raise UserError(
                        f"{str(self._path)!r} must get a prediction for each of "
                        f"{len(rows):,} rows. Received: {done:,}; did the file of rows "
                        "change meanwhile? Nothing is kept; the same command starts "
                        "over."
                    )
                os.fsync(file.fileno())
                os.replace(self._partial, self._path)
                self._settings_file.unlink(missing_ok=True)
        return start

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Report an OSError as one of the output; use it around nothing else."""
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
            # Check again: the last holder of the lock may have created it.
            require_new(self._path, self._overwrite)
            yield file
        finally:
            with self._writing(), file:
                # There is nothing to resume: remove the files.
                empty = not os.fstat(file.fileno()).st_size
                if empty and is_open_file(file, self._partial):
                    self._settings_file.unlink(missing_ok=True)
                    self._partial.unlink(missing_ok=True)

    def _locked(self) -> IO[bytes]:
        """Open the unfinished file, and lock it against other processes."""
        try:
            return open_locked(self._partial)
        except BlockingIOError:
            raise UserError(
                f"Another process is writing {str(self._path)!r}. Wait for it, or "
                "choose another output."
            ) from None

    def _resume(self, file: IO[bytes]) -> int:
        """Cut the file behind its last whole window; return the number of rows left."""
        try:
            written = read_json(self._settings_file)
        except (OSError, ValueError):
            written = None
        if written != json.loads(json.dumps(self._settings)):
            file.truncate(0)
            write_json(self._settings_file, self._settings)
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
        """Append the missing rows; return the number of rows in the file then."""
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
