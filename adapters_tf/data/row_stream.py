"""Read the texts of a file of any size in chunks."""

import codecs
import itertools
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import numpy as np

from adapters_tf.data.examples import Examples, Rows
from adapters_tf.data.files import FileFormat, dialect_of
from adapters_tf.data.tables import iterate_delimited, iterate_json_lines, read_text

_MARKS = {"utf-16": codecs.BOM_UTF16, "utf-32": codecs.BOM_UTF32}


class RowStream:
    """Unlabelled rows of a delimited or JSON-lines file, in their order.

    Texts may be empty. It holds one row in memory at a time. It reads the file once to
    check it, so that an error on the last line is found before the first row is used,
    and again for each call of `windows`.

    Args:
        path: The file.
        format: Its columns and notation; a label column is ignored.

    Attributes:
        num_rows: Number of rows.

    Raises:
        DataError: See `read_columns` without label columns.
    """

    def __init__(self, path: str | os.PathLike[str], format: FileFormat) -> None:
        self._path = str(path)
        self._format = format
        self._dialect = dialect_of(self._path, format)
        self.num_rows = sum(1 for _ in self._rows())

    def __len__(self) -> int:
        return self.num_rows

    def windows(self, size: int, start: int = 0) -> Iterator[Examples]:
        """Yield the rows from `start` in chunks of `size`; the last may be smaller."""
        rows = itertools.islice(self._rows(), start, None)
        while window := list(itertools.islice(rows, size)):
            columns = zip(*(values for _, values in window), strict=True)
            yield Examples(tuple(list(column) for column in columns))

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        columns = self._format.text_columns
        lines = self._lines()
        if self._dialect is None:
            yield from iterate_json_lines(lines, columns, self._path)
        else:
            yield from iterate_delimited(lines, columns, self._dialect, self._path)

    def _lines(self) -> Iterator[str]:
        blank = True
        # The same line ends as in `read_text` and the two readers.
        newline = None if self._dialect is None else ""
        encoding = self._format.encoding
        try:
            with _open_text(self._path, encoding, newline) as file:
                for number, line in enumerate(file):
                    line = line if number else line.removeprefix("\ufeff")
                    if "\0" in line:
                        raise UnicodeError("a NUL byte")
                    blank = blank and not line.strip()
                    yield line
            if blank:
                raise UnicodeError("no text")
        except (OSError, LookupError, UnicodeError):
            # `read_text` raises an error that names the problem and its place.
            read_text(self._path, encoding)
            raise


def _open_text(path: str, encoding: str, newline: str | None) -> TextIO:
    """Open a file to read its lines, decoded as `read_text` decodes the whole file."""
    name = codecs.lookup(encoding).name
    if name in _MARKS:
        with open(path, "rb") as file:
            start = file.read(len(_MARKS[name]))
        # Without a mark these codecs take the machine's byte order, but not in a file.
        if start not in (_MARKS[name], _MARKS[name][::-1]):
            encoding = f"{name}-{'le' if sys.byteorder == 'little' else 'be'}"
    return open(path, encoding=encoding, newline=newline)


class WholeRows:
    """Rows in memory with the interface of `RowStream`.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def windows(self, size: int, start: int = 0) -> Iterator[Rows]:
        """Yield the rows from `start` in chunks of `size`."""
        for at in range(start, len(self), size):
            yield self._rows.take(np.arange(at, min(at + size, len(self))))
