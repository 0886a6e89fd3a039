"""Delimited and JSON-lines files, read strictly into columns of text."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from adapters_tf.data import delimited, json_lines
from adapters_tf.data.text_file import read_text
from adapters_tf.errors import DataError

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_JSON_SUFFIXES = (".jsonl", ".json")


@dataclasses.dataclass(frozen=True)
class FileFormat:
    """Where in a file the texts and the label are, and how it is written.

    Attributes:
        text_columns: Names of the one or two text columns; without a header,
            their numbers from 0, as strings.
        label_column: Name or number of the label column, or `None` to read
            unlabelled rows.
        delimiter: One character, or `None` to go by the file's suffix: `.csv`
            comma, `.tsv` and `.txt` tab, `.jsonl` and `.json` JSON lines.
        encoding: Name of a Python codec. The default is UTF-8, with or
            without a byte-order mark.
        header: Whether the first row names the columns. Not used for JSON.
        quoting: Whether `"` quotes a field. `None`: no in tab-separated
            files, as in GLUE's, and yes in any others.

    Raises:
        DataError: The columns are not one or two, not distinct, or the
            delimiter is not one character.
    """

    text_columns: tuple[str, ...]
    label_column: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8-sig"
    header: bool = True
    quoting: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.text_columns, str) or len(self.text_columns) not in (1, 2):
            raise DataError(
                "text_columns must be a tuple of one or two names. Received: "
                f"text_columns={self.text_columns!r}"
            )
        object.__setattr__(self, "text_columns", tuple(self.text_columns))
        if len(set(self.columns)) < len(self.columns):
            raise DataError(
                "The text and label columns must be different ones. Received: "
                f"text_columns={self.text_columns!r}, "
                f"label_column={self.label_column!r}"
            )
        if self.delimiter == "\\t":  # A shell passes the two characters.
            object.__setattr__(self, "delimiter", "\t")
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or self.delimiter in '\r\n"'
        ):
            raise DataError(
                "delimiter must be one character, neither a quote nor a line end. "
                f"Received: delimiter={self.delimiter!r}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read: the texts', then the label's if there is one."""
        label = () if self.label_column is None else (self.label_column,)
        return tuple(self.text_columns) + label


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns read from one file.

    Attributes:
        path: The file, for messages.
        texts: One list of N texts per text column, unchanged.
        raw_labels: The N labels as written, without surrounding white space,
            or `None` where no label column was asked for.
        lines: The 1-based line at which each of the N rows begins.
        skipped: Number of malformed rows left out (0 unless `strict=False`).
    """

    path: str
    texts: tuple[list[str], ...]
    raw_labels: list[str] | None
    lines: list[int]
    skipped: int = 0


def read_columns(
    path: str | os.PathLike[str], format: FileFormat, *, strict: bool = True
) -> Table:
    """Reads the text columns and the label column of a file.

    Lines may end in LF, CR LF or CR alone. Blank lines are skipped, except in
    a file of one column, where such a line is an empty text.

    Args:
        path: The file.
        format: Its columns and how it is written.
        strict: Whether rows of another width than the header's, and empty
            texts, are errors. With `False` the former are left out and
            counted in `Table.skipped`, the latter kept.

    Raises:
        DataError: Anything in the file is not as `format` says; the text names
            the line and what would work.
    """
    path = str(path)
    suffix = pathlib.Path(path).suffix.lower()
    delimiter = format.delimiter or _DELIMITERS.get(suffix)
    if delimiter is None and suffix not in _JSON_SUFFIXES:
        known = ", ".join([*_DELIMITERS, *_JSON_SUFFIXES])
        raise DataError(
            f"Without a delimiter the suffix must be one of {known}. Received: "
            f"{path}. Give the delimiter, as in --delimiter=,"
        )
    text = read_text(path, format.encoding)
    skipped = 0
    if delimiter is None:
        rows = json_lines.read_rows(text, format.columns, path)
    else:
        quoting = delimiter != "\t" if format.quoting is None else format.quoting
        dialect = delimited.Dialect(delimiter, quoting, format.header)
        rows, skipped = delimited.read_rows(
            text, format.columns, dialect, path, strict=strict
        )
    if strict:
        for number, name in enumerate(format.text_columns):
            _refuse_empty(rows, number, f"text column {name!r}", path)
    if format.label_column is not None:
        hint = " To read unlabelled rows, give no label column."
        what = f"label column {format.label_column!r}"
        _refuse_empty(rows, len(format.text_columns), what, path, hint)
    columns = [[values[i] for _, values in rows] for i in range(len(format.columns))]
    labels = None
    if format.label_column is not None:
        labels = [label.strip() for label in columns.pop()]
    return Table(path, tuple(columns), labels, [line for line, _ in rows], skipped)


def _refuse_empty(
    rows: Sequence[tuple[int, list[str]]], at: int, what: str, path: str, hint: str = ""
) -> None:
    lines = [line for line, values in rows if not values[at].strip()]
    if lines:
        raise DataError(
            f"No value of the {what} may be empty. Received: {path}, line {lines[0]} "
            f"({len(lines)} of {len(rows)} rows are). Fill or remove such rows.{hint}"
        )
