"""Read text files, and rows of delimited and JSON-lines files."""

import codecs
import csv
import dataclasses
import difflib
import io
import itertools
import json
import os
import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from adapters_tf.errors import DataError

# Delimiters, to look for in a header that the given one does not split.
_USUAL = ",\t;|"


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8-sig") -> str:
    """Read and decode a file, and drop a byte-order mark.

    Raises:
        DataError: if the file is missing, a directory, unreadable, empty, not in this
            encoding, or holds NUL bytes.
    """
    file = pathlib.Path(path)
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"A data file must exist. Received: {path}{_similar_file(file)}"
        ) from None
    except IsADirectoryError:
        inside = sorted(os.listdir(file))[:10]
        raise DataError(
            f"A data file must be a file. Received the directory {path}, "
            f"which holds {inside}"
        ) from None
    except PermissionError:
        raise DataError(
            f"A data file must be readable. Received: {path}, to which this user "
            "has no access. Change its permissions, as with chmod u+r"
        ) from None
    except OSError as error:
        raise DataError(
            f"A data file must be readable. Received: {path}: {error}"
        ) from None
    text = _decode(raw, encoding, str(path))
    if not text.strip():
        raise DataError(f"A data file must hold rows. Received the empty file {path}")
    if "\0" in text:
        line = 1 + len(re.findall(r"\r\n|\r|\n", text[: text.index("\0")]))
        raise DataError(
            f"A data file must be text. Received: {path}, line {line}, which holds a "
            "NUL byte. A file saved as 'Unicode' needs --encoding=utf-16; otherwise "
            "this is no text file"
        )
    return text


def utf8_or(path: str | os.PathLike[str], other: str) -> str:
    """Return `"utf-8-sig"` if all of a file is UTF-8, else `other`.

    This ignores a file that cannot be opened; `read_text` reports the error.
    """
    try:
        with open(path, encoding="utf-8") as file:
            while file.read(1 << 20):
                pass
    except UnicodeError:
        return other
    except OSError:
        pass
    return "utf-8-sig"


def _decode(raw: bytes, encoding: str, path: str) -> str:
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        # Use the plain codec: utf-8-sig counts error offsets from after the mark.
        is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        return raw.decode("utf-8" if is_utf8 else encoding).removeprefix("\ufeff")
    except LookupError:
        raise DataError(
            "encoding must be a text encoding that Python knows, such as utf-8, "
            f"latin-1, cp1252 or utf-16. Received: encoding={encoding!r}"
        ) from None
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        line = 1 + len(re.findall(rb"\r\n|\r|\n", raw[:at]))
        hint = "utf-16" if utf16 else "latin-1"
        raise DataError(
            f"The file must be in the encoding {encoding}. Received: {path}, whose "
            f"byte {raw[at : at + 1].hex() or '?'} at byte offset {at} (line {line}) "
            f"is not. Try --encoding={hint}"
        ) from None


def _similar_file(file: pathlib.Path) -> str:
    try:
        names = os.listdir(file.parent)
    except OSError:
        return f", whose directory {file.parent} does not exist or is unreadable"
    close = difflib.get_close_matches(file.name, names, n=1)
    return f". Did you mean {file.parent / close[0]}?" if close else ""


@dataclasses.dataclass(frozen=True)
class Dialect:
    """The notation of a delimited file.

    Attributes:
        delimiter: The character between two fields.
        quoting: Whether `"` quotes a field.
        header: Whether the first row names the columns.
    """

    delimiter: str
    quoting: bool
    header: bool


def read_delimited(
    text: str, columns: Sequence[str], dialect: Dialect, path: str, *, strict: bool
) -> tuple[list[tuple[int, list[str]]], int]:
    """Read some columns of every row, with the row's first line number.

    Args:
        text: The content of the file, with any line ends.
        columns: Names of the columns, or their indices if there is no header.
        dialect: The notation of the text.
        path: The file, for messages.
        strict: Whether a row with another width than the first is an error; if `False`,
            it is left out.

    Returns:
        One `(line number from 1, values)` for each row, and the number of rows
        left out.

    Raises:
        DataError: if there are no rows, no such columns, or a row is unreadable.
    """
    skipped = 0

    def skip() -> None:
        nonlocal skipped
        skipped += 1

    # newline="" also ends lines at a lone CR and keeps quoted line ends.
    lines = io.StringIO(text, newline="")
    # Avoid a list of full records: a large file may have many unused columns.
    rows = list(
        iterate_delimited(lines, columns, dialect, path, None if strict else skip)
    )
    return rows, skipped


def iterate_delimited(
    lines: Iterable[str],
    columns: Sequence[str],
    dialect: Dialect,
    path: str,
    skip: Callable[[], None] | None = None,
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows one by one; see `read_delimited`.

    Args:
        lines: The file's lines with their ends, as from `open(newline="")`. At least
            one is not blank.
        columns: As in `read_delimited`.
        dialect: As in `read_delimited`.
        path: The file, for messages.
        skip: Called for each row left out for its width; `None` to raise an error.
    """
    records = _csv_records(lines, dialect, path)
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
    """Drop blank lines at the end."""
    blank: list[str] = []
    for line in lines:
        if line.strip("\r\n"):
            yield from blank
            blank = []
            yield line
        else:
            blank.append(line)


def _csv_records(
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
    # A text may have any length: it is cut at the model's. csv stops at 131,072
    # characters, for all of the process; 2^31 - 1 is the most on every system.
    csv.field_size_limit(2**31 - 1)
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
        others = [d for d in _USUAL if d != dialect.delimiter and d in first[0]]
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
    others = [d for d in _USUAL if name in header[0].split(d)]
    if len(header) == 1 and others:
        hint = f". Try --delimiter={others[0]!r}"
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


def read_json_lines(
    text: str, columns: Sequence[str], path: str, lists: Collection[str | None] = ()
) -> list[tuple[int, list[Any]]]:
    """Read the values of some keys of every object, with its line number.

    Numbers and Booleans become their JSON text. Blank lines are skipped.

    Args:
        text: The content of the file.
        columns: The keys to read; every object must have all of them.
        path: The file, for messages.
        lists: The members of `columns` whose value may be a list of strings and
            numbers; the result is a list of strings. `null` is an empty string there.

    Returns:
        One `(line number from 1, values)` for each object.

    Raises:
        DataError: if a line is not a JSON object with these keys, or a value is `null`,
            a list or an object where not allowed.
    """
    # newline=None ends lines at CR, LF and CR LF, which JSON strings cannot contain.
    return list(
        iterate_json_lines(io.StringIO(text, newline=None), columns, path, lists)
    )


def iterate_json_lines(
    lines: Iterable[str],
    columns: Sequence[str],
    path: str,
    lists: Collection[str | None] = (),
) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows one by one from a file's lines; see `read_json_lines`."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            record = _parse_object(line, where)
            values = [
                _json_value(record, name, where, name in lists) for name in columns
            ]
            yield number, values


def _parse_object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        if not line.lstrip().startswith("["):
            raise DataError(
                f"Every line must hold one JSON object. Received: {where}: {error}"
            ) from None
        record = []
    if isinstance(record, dict):
        return record
    hint = ""
    if isinstance(record, list):
        hint = ". Turn a JSON array into lines with: jq -c '.[]' in.json > out.jsonl"
    raise DataError(
        f"Every line must hold one JSON object. Received: {where}, which begins "
        f"{line.strip()[:40]!r}{hint}"
    )


def _json_value(
    record: dict[str, Any], name: str, where: str, may_be_list: bool
) -> Any:
    if name not in record:
        close = difflib.get_close_matches(name, record, n=1)
        hint = f". Did you mean {close[0]!r}?" if close else ""
        raise DataError(
            f"Every object must have the key {name!r}. Received: {where}, whose keys "
            f"are {list(record)}{hint}"
        )
    value = record[name]
    if value is None and not may_be_list:
        raise DataError(
            f"The value under {name!r} must be a string or a number. Received: "
            f'{where}, null. Fill or remove such rows; an empty text is ""'
        )
    if may_be_list and isinstance(value, list):
        return [_json_text(part, name, where) for part in value]
    return _json_text(value, name, where)


def _json_text(value: Any, name: str, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if not isinstance(value, str):
        raise DataError(
            f"The value under {name!r} must be a string or a number. Received: "
            f"{where}, a JSON {'array' if isinstance(value, list) else 'object'}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        # A lone escape such as \ud800: TensorFlow supports only UTF-8.
        raise DataError(
            f"The value under {name!r} must be valid Unicode. Received: {where}, which "
            "holds one half of a surrogate pair"
        ) from None
    return value
