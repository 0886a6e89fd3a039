"""Find data files, and read delimited and JSON-lines files strictly into columns."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

from absl import logging

from adapters_tf.data import label_sets, tables
from adapters_tf.data.tables import read_text
from adapters_tf.errors import DataError
from adapters_tf.models.labels import is_missing

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_JSON_SUFFIXES = (".jsonl", ".json")


@dataclasses.dataclass(frozen=True)
class FileFormat:
    """The columns and the notation of a file of rows.

    Attributes:
        text_columns: Names of the text columns, in the order in which they are
            packed (see `preprocess_texts`); without a header, their indices from 0,
            as strings.
        label_column: Name or index of the label column, or `None` to read unlabelled
            rows.
        delimiter: One character, or `None` to use the file's suffix: `.csv` comma,
            `.tsv` and `.txt` tab, `.jsonl` and `.json` JSON lines.
        encoding: Name of a Python codec. The default is UTF-8, with or
            without a byte-order mark.
        header: Whether the first row names the columns. Not used for JSON.
        quoting: Whether `"` quotes a field. `None` means no for tab-separated files, as
            in GLUE, and yes for others.
        label_separator: Separator between several labels in the label column; see
            `label_sets`.
        label_columns: Columns of 0 and 1, one for each label, instead of a label
            column.

    Raises:
        DataError: if there are no columns, columns repeat, the delimiter is not one
            character, or several ways to read the labels are given.
    """

    text_columns: tuple[str, ...]
    label_column: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8-sig"
    header: bool = True
    quoting: bool | None = None
    label_separator: str | None = None
    label_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.text_columns, str) or not self.text_columns:
            raise DataError(
                "text_columns must be a tuple of one or more names. Received: "
                f"text_columns={self.text_columns!r}"
            )
        object.__setattr__(self, "text_columns", tuple(self.text_columns))
        object.__setattr__(self, "label_columns", tuple(self.label_columns))
        if len(set(self.columns)) < len(self.columns):
            raise DataError(
                "The text and label columns must be different ones. Received: "
                f"text_columns={self.text_columns!r}, "
                f"label_column={self.label_column!r}"
                + (f", label_columns={self.label_columns!r}" * bool(self.label_columns))
            )
        label_sets.check_format(
            self.label_column, self.label_separator, self.label_columns
        )
        if self.delimiter == "\\t":  # Shells pass the two characters.
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
        """The columns to read: text columns, then any label columns."""
        label = () if self.label_column is None else (self.label_column,)
        return tuple(self.text_columns) + label + self.label_columns

    @property
    def without_labels(self) -> "FileFormat":
        """The same format for unlabelled rows."""
        return dataclasses.replace(
            self, label_column=None, label_separator=None, label_columns=()
        )

    @property
    def has_labels(self) -> bool:
        """Whether the format names columns of labels."""
        return self.label_column is not None or bool(self.label_columns)

    @property
    def for_several_labels(self) -> bool:
        """Whether the format describes several labels per row."""
        return self.label_separator is not None or bool(self.label_columns)


@dataclasses.dataclass(frozen=True)
class Table:
    """The columns read from one file.

    Attributes:
        path: The file, for messages.
        texts: One list of N texts per text column, unchanged.
        raw_labels: The N labels as written, without surrounding white space, or `None`
            if no label column was requested.
        lines: The 1-based line at which each of the N rows begins.
        label_sets: Instead of `raw_labels`, zero or more labels per row, for a file
            read with `several_labels`.
        skipped: Number of malformed rows left out (0 unless `strict=False`).
    """

    path: str
    texts: tuple[list[str], ...]
    raw_labels: list[str] | None
    lines: list[int]
    skipped: int = 0
    label_sets: list[tuple[str, ...]] | None = None


def read_columns(
    path: str | os.PathLike[str],
    format: FileFormat,
    *,
    strict: bool = True,
    several_labels: bool = False,
) -> Table:
    """Read the text columns and the label column of a file.

    Lines may end in LF, CR LF or CR. Blank lines are skipped, except between the rows
    of a file of one column, where a blank line is an empty text. Rows with labels teach
    or score a model, so none of their texts may be empty. Rows without are predicted,
    as servables do, empty or not. `null` in JSON is not a text.

    Args:
        path: The file.
        format: Its columns and how it is written.
        strict: Whether rows with another width than the header, and empty texts of rows
            with labels, are errors. If `False`, such rows are left out and counted in
            `Table.skipped`, and empty texts are kept.
        several_labels: Whether a row may have zero or more labels; see `label_sets`.

    Raises:
        DataError: if the file does not match `format`; names the line and what would
            work.
    """
    path = str(path)
    dialect = dialect_of(path, format)
    text = read_text(path, format.encoding)
    skipped = 0
    if dialect is None:
        lists = (format.label_column,)
        rows = tables.read_json_lines(text, format.columns, path, lists)
        if not several_labels:
            _refuse_lists(rows, path)
    else:
        rows, skipped = tables.read_delimited(
            text, format.columns, dialect, path, strict=strict
        )
    if strict and format.has_labels:
        for number, name in enumerate(format.text_columns):
            _check_empty(rows, number, f"text column {name!r}", path)
    texts = [[values[i] for _, values in rows] for i in range(len(format.text_columns))]
    lines = [line for line, _ in rows]
    if several_labels:
        cells = [values[len(texts) :] for _, values in rows]
        sets = label_sets.parse_cells(
            cells, lines, path, format.label_separator, format.label_columns
        )
        return Table(path, tuple(texts), None, lines, skipped, sets)
    labels = None
    if format.label_column is not None:
        hint = " To read unlabelled rows, give no label column."
        what = f"label column {format.label_column!r}"
        _check_empty(rows, len(texts), what, path, hint)
        labels = [values[len(texts)].strip() for _, values in rows]
        missing = [
            line for line, label in zip(lines, labels, strict=True) if is_missing(label)
        ]
        if missing:
            raise DataError(
                f"No value of the {what} may be missing. Received: {path}, line "
                f"{missing[0]}, with {labels[lines.index(missing[0])]!r} "
                f"({len(missing)} of {len(rows)} rows are). Fill or remove such rows, "
                f"or write a class of that name in another way.{hint}"
            )
    return Table(path, tuple(texts), labels, lines, skipped)


def _refuse_lists(rows: list[tuple[int, list[Any]]], path: str) -> None:
    """Reject a list of labels in a file whose rows have one label each."""
    for line, values in rows:
        if any(isinstance(value, list) for value in values):
            raise DataError(
                f"A label must be a string or a number. Received: {path}, line {line}, "
                "a JSON array. A list of labels needs --label_kind=multi in training"
            )


def dialect_of(path: str, format: FileFormat) -> tables.Dialect | None:
    """Return the dialect of a delimited file; `None` for JSON lines.

    Raises:
        DataError: if neither the format nor the suffix defines it.
    """
    suffix = pathlib.Path(path).suffix.lower()
    delimiter = format.delimiter or _DELIMITERS.get(suffix)
    if delimiter is None:
        if suffix in _JSON_SUFFIXES:
            return None
        known = ", ".join([*_DELIMITERS, *_JSON_SUFFIXES])
        raise DataError(
            f"Without a delimiter the suffix must be one of {known}. Received: "
            f"{path}. Give the delimiter, as in --delimiter=,"
        )
    quoting = delimiter != "\t" if format.quoting is None else format.quoting
    return tables.Dialect(delimiter, quoting, format.header)


class DataFile:
    """A file of rows with its columns, read only once even if several kinds use it.

    Args:
        path: The file.
        format: Its columns; `None` for a file that needs no format.

    Attributes:
        path: The file, as text.
    """

    def __init__(self, path: str | os.PathLike[str], format: FileFormat | None) -> None:
        self.path = str(path)
        self._format = format

    @property
    def format(self) -> FileFormat:
        """The file's columns.

        Raises:
            DataError: if no format was given.
        """
        if self._format is None:
            raise DataError(
                "A file of texts needs the names of its columns. Received: "
                f"{self.path} without any. (A .json file of questions, in the form of "
                "SQuAD v1.1, needs none.)"
            )
        return self._format

    @property
    def encoding(self) -> str:
        """The file's encoding."""
        return FileFormat.encoding if self._format is None else self._format.encoding

    @property
    def has_format(self) -> bool:
        """Whether a format was given."""
        return self._format is not None

    @property
    def has_labels(self) -> bool:
        """Whether the format names columns of labels."""
        return self.format.has_labels

    def require_labels(self) -> None:
        """Reject a training file without labels.

        Raises:
            DataError: if the format names no label column.
        """
        if not self.has_labels:
            raise DataError(
                "Training rows need labels. Received: label_column=None. Name the "
                f"column of the labels in {self.path}"
            )

    @functools.cached_property
    def table(self) -> Table:
        """The rows, with one label each if the format names a label column."""
        return read_columns(self.path, self.format)

    @functools.cached_property
    def table_of_sets(self) -> Table:
        """The rows, with any number of labels each."""
        return read_columns(self.path, self.format, several_labels=True)


def check_skipped(table: Table, written: str) -> None:
    """Reject a file with many left-out rows; log the number if there are few.

    Args:
        table: From `read_columns` with `strict=False`.
        written: The required notation of columns, such as "separated by commas".

    Raises:
        DataError: if no row is left, or more than 10 and 0.1% were left out.
    """
    if not table.skipped:
        return
    rows = len(table.lines) + table.skipped
    if not table.lines or table.skipped > max(10, 0.001 * rows):
        raise DataError(
            "Only a handful of the rows may have a wrong number of columns. Received: "
            f"{table.path}, in which {table.skipped} of {rows} have. Its columns must "
            f"be {written}"
        )
    logging.warning(
        "%s: left out %d of %d rows, which have a wrong number of columns",
        table.path,
        table.skipped,
        rows,
    )


def _check_empty(
    rows: Sequence[tuple[int, list[str]]], at: int, what: str, path: str, hint: str = ""
) -> None:
    lines = [line for line, values in rows if not values[at].strip()]
    if lines:
        raise DataError(
            f"No value of the {what} may be empty. Received: {path}, line {lines[0]} "
            f"({len(lines)} of {len(rows)} rows are). Fill or remove such rows.{hint}"
        )


def find_public_files(
    name: str,
    data_dir: str | os.PathLike[str],
    folders: Sequence[str],
    choices: Sequence[Sequence[str]],
    foreign: Collection[str] = (),
    advice: str = "",
) -> list[pathlib.Path]:
    """Find the files or folders of a data set, under any of their public names.

    Args:
        name: The data set, for messages.
        data_dir: The folder of all data sets' folders, or the data set's own folder.
        folders: Possible names of the data set's own folder.
        choices: Alternative lists of file names; the first list whose first file exists
            is used.
        foreign: Names of other data sets' folders; a `data_dir` with such a name is not
            the data set's own folder.
        advice: Further text for the error.

    Returns:
        The paths of the files of one choice; only the first is known to exist.

    Raises:
        DataError: if no choice is in any of the folders.
    """
    root = pathlib.Path(data_dir)
    places = [root / folder for folder in dict.fromkeys(folders)]
    if root.name not in foreign:
        places.append(root)
    for place in places:
        for files in choices:
            if (place / files[0]).exists():
                return [place / file for file in files]
    known = " or ".join(" and ".join(files) for files in choices)
    missing = "there is none" if root.is_dir() else "there is no folder"
    raise DataError(
        f"The data of {name} must be {known} in one of "
        f"{', '.join(map(str, places))}. Received: data_dir={data_dir}, where {missing}"
        + (f". {advice}" if advice else "")
    )
