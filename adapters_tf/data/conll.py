"""Read CoNLL files: a word with its tag per line, blank lines between sentences."""

import dataclasses
import io
import os
import pathlib
import re
from collections.abc import Iterator

from adapters_tf.data.files import FileFormat
from adapters_tf.data.tables import read_text
from adapters_tf.data.tags import OUTSIDE, check_tag, is_tag
from adapters_tf.errors import DataError

SUFFIXES = (".conll", ".bio", ".iob2")
# The default column names of other formats: the user chose no columns.
_NOT_CHOSEN = ("text", "label")


@dataclasses.dataclass(frozen=True)
class TaggedWords:
    """The sentences of one file.

    Attributes:
        path: The file, for messages.
        column: The column of the words, from 0.
        words: The words of each of N sentences, one or more, without white space.
        tags: Their tags, in the BIO scheme; `None` if they were not requested.
        lines: The 1-based line of each sentence's first word.
    """

    path: str
    column: int
    words: list[tuple[str, ...]]
    tags: list[tuple[str, ...]] | None
    lines: list[int]


def is_conll_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file name has a suffix of CoNLL files."""
    return pathlib.Path(path).suffix.lower() in SUFFIXES


def read_conll(
    path: str | os.PathLike[str], format: FileFormat, *, tags: bool = True
) -> TaggedWords:
    """Read the words and tags of a file with any suffix.

    Columns are separated by `format.delimiter`; by default by tabs if the first line
    has one, otherwise by white space. Lines that begin with `-DOCSTART-` end a sentence
    and are skipped. Comments are skipped too: lines at the start of a sentence that
    begin with `# `, unless they have as many columns as other lines and a tag (before
    the first word: end in a tag).

    Args:
        path: The file.
        format: `text_columns` is the index of the words' column, from 0, and
            `label_column` that of the tags. The defaults `"text"` and `"label"` mean
            the first and the last column.
        tags: Whether to read the tags.

    Raises:
        DataError: if the file is not of this form; names the line.
    """
    path = str(path)
    text = read_text(path, format.encoding)
    words: list[list[str]] = [[]]
    found: list[list[str]] = [[]]
    lines: list[int] = []
    columns: tuple[int, int] | None = None
    width = 0
    for number, fields in _fields(text, format.delimiter):
        if not fields:
            if words[-1]:
                words.append([])
                found.append([])
            continue
        where = f"{path}, line {number}"
        if columns is None:
            width = len(fields)
            columns = _columns(format, width, where, tags)
        if len(fields) != width:
            raise DataError(
                f"Every line must have {width} columns, as the first one has. "
                f"Received: {len(fields)} at {where}"
            )
        word = fields[columns[0]]
        if not word or re.search(r"\s", word):
            raise DataError(
                "Every word must be a text without white space. Received: "
                f"{word!r} at {where}"
            )
        if tags:
            check_tag(
                fields[columns[1]], found[-1][-1] if found[-1] else OUTSIDE, where
            )
            found[-1].append(fields[columns[1]])
        if not words[-1]:
            lines.append(number)
        words[-1].append(word)
    if columns is None:
        raise DataError(f"A file of words must hold words. Received: {path}")
    count = len(lines)
    return TaggedWords(
        path,
        columns[0],
        [tuple(sentence) for sentence in words[:count]],
        [tuple(sentence) for sentence in found[:count]] if tags else None,
        lines,
    )


def _fields(text: str, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield each line's number and fields; no fields at the end of a sentence."""
    start, width = True, None
    # newline=None ends lines only at CR, LF and CR LF.
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        line = line.strip("\n")
        if not line.strip() or line.startswith("-DOCSTART-"):
            start = True
            yield number, []
            continue
        if width is None and delimiter is None and "\t" in line:
            fields = line.split("\t")
        else:
            fields = line.split(delimiter)
        if start and line.startswith("# ") and not _is_word(line, fields, width):
            continue
        if width is None:
            width = len(fields)
            delimiter = "\t" if delimiter is None and "\t" in line else delimiter
        start = False
        yield number, [field.strip() for field in fields]


def _is_word(line: str, fields: list[str], width: int | None) -> bool:
    """Whether a line that begins with `# ` is the word `#`, not a comment."""
    if width is None:
        return is_tag(line.split()[-1])
    return len(fields) == width and any(is_tag(field.strip()) for field in fields[1:])


def _columns(format: FileFormat, width: int, where: str, tags: bool) -> tuple[int, int]:
    """Return the indices of the words' and the tags' columns."""
    if len(format.text_columns) != 1:
        raise DataError(
            "A file of words has one column of words. Received: text_columns="
            f"{format.text_columns!r}"
        )
    names = (format.text_columns[0], format.label_column or _NOT_CHOSEN[1])
    found = [0, width - 1]
    for place, name in enumerate(names):
        if name != _NOT_CHOSEN[place]:
            if not re.fullmatch("[0-9]+", name) or int(name) >= width:
                raise DataError(
                    "The columns of a file of words are numbers from 0 to "
                    f"{width - 1}. Received: {name!r}, of {where}"
                )
            found[place] = int(name)
    if tags and found[0] == found[1]:
        raise DataError(
            "Words and tags must be in different columns. Received: column "
            f"{found[0]} for both, of the {width} of {where}"
        )
    return found[0], found[1]
