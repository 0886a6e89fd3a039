"""Rows of delimited files, such as CSV and TSV ones."""

import csv
import dataclasses
import difflib
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from adapters_tf.errors import DataError


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes:
        delimiter: The character between two fields.
        quoting: Whether `"` quotes a field.
        header: Whether the first row names the columns.
    """

    delimiter: str
    quoting: bool
    header: bool


def read_rows(
    text: str, columns: Sequence[str], dialect: Dialect, path: str, *, strict: bool
) -> tuple[list[tuple[int, list[str]]], int]:
    """The values in some columns of every row, with the line it begins on.

    Args:
        text: The content of the file, which may end lines in any way.
        columns: Names of the columns, or their numbers where there is no header.
        dialect: How the text is written.
        path: The file, for messages.
        strict: Whether a row of another width than the first is an error, and
            not left out.

    Returns:
        One `(line number from 1, values)` for each row, and the number of rows
        left out.

    Raises:
        DataError: There are no rows, no such columns, or a row cannot be read.
    """
    skipped = 0

    def skip() -> None:
        nonlocal skipped
        skipped += 1

    # newline="" ends lines at a CR alone too and keeps quoted line ends.
    lines = io.StringIO(text, newline="")
    # Not a list of all records: a file of a gigabyte has many columns not asked for.
    rows = list(iterate_rows(lines, columns, dialect, path, None if strict else skip))
    return rows, skipped


def iterate_rows(
    lines: Iterable[str],
    columns: Sequence[str],
    dialect: Dialect,
    path: str,
    skip: Callable[[], None] | None = None,
) -> Iterator[tuple[int, list[str]]]:
    """The rows one by one; see `read_rows`.

    Args:
        lines: The file's lines with their ends, as `open(newline="")` gives them. One
            of them is not blank.
        columns: As `read_rows`.
        dialect: As `read_rows`.
        path: The file, for messages.
        skip: Called where a row of another width is left out; `None` to refuse it.
    """
    records = _records(lines, dialect, path)
    head = next(records)
    first = head[1]
    top = next(records, None) if dialect.header else head
    if top is None:
        raise DataError(
            f"A data file must hold rows below its header. Received: {path}, whose "
            f"only row is {_shorten(first)}. Without a header, give --header=false"
        )
    indices = _column_indices(first, columns, dialect, path)
    for line, fields in itertools.chain([top], records):
        if not fields and len(first) == 1:
            fields = [""]
        if len(fields) == len(first):
            yield line, [fields[i] for i in indices]
        elif fields and skip is None:
            raise DataError(
                f"Every row must have {len(first)} columns, as the first has. "
                f"Received: {path}, line {line}, which has {len(fields)}: "
                f"{_shorten(fields)}. The delimiter is {dialect.delimiter!r} and "
                f"quoting is {'on' if dialect.quoting else 'off'}: see --delimiter "
                "and --quoting"
            )
        elif fields and skip is not None:
            skip()


def _without_blank_ends(lines: Iterable[str]) -> Iterator[str]:
    """The lines without the blank ones below the last that is not."""
    blank: list[str] = []
    for line in lines:
        if line.strip("\r\n"):
            yield from blank
            blank = []
            yield line
        else:
            blank.append(line)


def _records(
    lines: Iterable[str], dialect: Dialect, path: str
) -> Iterator[tuple[int, list[str]]]:
    lines = iter(lines)
    above, top = 0, next(lines, "")
    while top and not top.strip("\r\n"):
        above, top = above + 1, next(lines, "")
    line = above + 1
    reader = csv.reader(
        _without_blank_ends(itertools.chain([top], lines)),
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        for fields in reader:
            yield line, fields
            line = above + reader.line_num + 1
    except csv.Error as error:
        hint = ". If quotes are part of the text, give --quoting=false"
        raise DataError(
            f"Every row must be readable with the delimiter {dialect.delimiter!r}. "
            f"Received: {path}, the row that begins on line {line}: {error}"
            f"{hint if dialect.quoting else ''}"
        ) from None


def _column_indices(
    first: list[str], columns: Sequence[str], dialect: Dialect, path: str
) -> list[int]:
    if len(first) == 1 and len(columns) > 1:
        others = [d for d in ",\t;|" if d != dialect.delimiter and d in first[0]]
        hint = f". Try --delimiter={others[0]!r}" if others else ""
        raise DataError(
            f"The columns {list(columns)} are needed. Received: {path}, in which the "
            f"delimiter {dialect.delimiter!r} finds only one: {_shorten(first)}{hint}"
        )
    if dialect.header:
        return [_named_index(first, name, dialect, path) for name in columns]
    for name in columns:
        if not re.fullmatch("[0-9]+", name) or int(name) >= len(first):
            raise DataError(
                "Without a header, columns are numbers from 0 to "
                f"{len(first) - 1} in {path}. Received: {name!r}. "
                f"The first row is {_shorten(first)}"
            )
    return [int(name) for name in columns]


def _named_index(header: list[str], name: str, dialect: Dialect, path: str) -> int:
    count = header.count(name)
    if count == 1:
        return header.index(name)
    if count > 1:
        raise DataError(
            f"The name of a column must be unique. Received: {name!r}, which stands "
            f"{count} times in the header of {path}: {_shorten(header)}"
        )
    close = difflib.get_close_matches(name, header, n=1)
    hint = f". Did you mean {close[0]!r}?" if close else ""
    if re.fullmatch("[0-9]+", name):
        hint += ". Column numbers need --header=false"
    raise DataError(
        f"A column must be one of those in the header. Received: {name!r}, but with "
        f"the delimiter {dialect.delimiter!r} the columns of {path} are "
        f"{_shorten(header, limit=2000)}{hint}"
    )


def _shorten(fields: list[str], limit: int = 300) -> str:
    text = repr(fields)
    return text if len(text) <= limit else text[:limit] + "..."
