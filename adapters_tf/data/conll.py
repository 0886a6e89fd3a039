"""Words with tags in the BIO scheme (IOB2), and CoNLL files of them.

A CoNLL file has a word with its tag per line, and blank lines between sentences. `O`
marks a word outside entities, `B-NAME` the first word of an entity of type `NAME`, and
`I-NAME` each further word of it.
"""

import dataclasses
import io
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from adapters_tf.data.examples import WordExamples
from adapters_tf.data.files import FileFormat
from adapters_tf.data.labels import MAX_CLASSES, natural_order
from adapters_tf.data.tables import read_text
from adapters_tf.errors import DataError

OUTSIDE = "O"
_TAG = re.compile(r"O|[BI]-\S+")


def is_tag(text: str) -> bool:
    """Whether a text is `O`, `B-NAME` or `I-NAME`."""
    return _TAG.fullmatch(text) is not None


def check_tag(tag: str, before: str, where: str) -> None:
    """Reject a tag that the scheme does not allow here.

    Args:
        tag: The tag.
        before: The tag of the previous word; `O` at the start of a sentence.
        where: The place in the file, for messages.

    Raises:
        DataError: if it has another form, or continues an entity that did not begin.
    """
    if not is_tag(tag):
        hint = ""
        if re.fullmatch(r"[ESUL]-\S+", tag):
            hint = ". BIOES and BILOU tags need to be turned into BIO first"
        raise DataError(
            "Every tag must be O, B-NAME or I-NAME, the BIO scheme. Received: "
            f"{tag!r} at {where}{hint}"
        )
    if tag[0] == "I" and before[2:] != tag[2:]:
        raise DataError(
            "I-NAME must follow B-NAME or I-NAME of the same name, as in IOB2. "
            f"Received: {tag!r} after {before!r} at {where}. A file in IOB1, where "
            "entities begin with I, needs B- at the first word of each"
        )


def infer_tags(sentences: Sequence[Sequence[str]], path: str) -> tuple[str, ...]:
    """Return `O`, then the B and I tags of each entity type in natural order.

    Raises:
        DataError: if there are no entities, or too many types.
    """
    types = {tag[2:] for tags in sentences for tag in tags if tag != OUTSIDE}
    if not types or 2 * len(types) >= MAX_CLASSES:
        raise DataError(
            f"There must be from 1 to {MAX_CLASSES // 2 - 1} types of entities. "
            f"Received: {path}, with {len(types)} in {len(sentences)} sentences"
        )
    names = [(f"B-{name}", f"I-{name}") for name in natural_order(types)]
    return (OUTSIDE, *(tag for both in names for tag in both))


def encode_tags(
    sentences: Sequence[Sequence[str]],
    labels: Sequence[str],
    *,
    lines: Sequence[int],
    path: str,
) -> list[np.ndarray]:
    """Convert tags to indices into `labels`: `[words]` int32 for each sentence.

    Args:
        sentences: The tags.
        labels: The tags in the order of their indices.
        lines: The line of each sentence's first word, for messages.
        path: The file, for messages.

    Raises:
        DataError: if a tag is not among `labels`.
    """
    index = {name: i for i, name in enumerate(labels)}
    for tags, line in zip(sentences, lines, strict=True):
        for place, tag in enumerate(tags):
            if tag not in index:
                known = ", ".join(n[2:] for n in labels if n.startswith("B-"))
                raise DataError(
                    f"Every entity must be of a known type ({known}). Received: "
                    f"{tag!r} at {path}, line {line + place}"
                )
    return [np.array([index[tag] for tag in tags], np.int32) for tags in sentences]


def valid_tags(tags: Sequence[str]) -> list[str]:
    """Correct predicted tags: an I- tag that continues no entity becomes B-.

    The result has the meaning that conlleval and seqeval give to the original tags.
    """
    before, found = OUTSIDE, []
    for tag in tags:
        if tag[0] == "I" and before[2:] != tag[2:]:
            tag = f"B-{tag[2:]}"
        found.append(tag)
        before = tag
    return found


SUFFIXES = (".conll", ".conllu", ".bio", ".iob2")
# The default column names of other formats: the user chose no columns.
_NOT_CHOSEN = ("text", "label")
_DOCUMENT = "-DOCSTART-"
# CoNLL-U has `1-2` before the words 1 and 2 of one token, and `1.1` for a word that
# the text does not have.
_NOT_ONE_WORD = re.compile(r"[0-9]+[-.][0-9]+")


@dataclasses.dataclass(frozen=True)
class TaggedWords:
    """The sentences of one file.

    Attributes:
        path: The file, for messages.
        column: The column of the words, from 0.
        words: The words of each of N sentences, one or more, without spaces and tabs.
        tags: Their tags, in the BIO scheme; `None` if they were not requested.
        lines: The 1-based line of each sentence's first word.
    """

    path: str
    column: int
    words: list[tuple[str, ...]]
    tags: list[tuple[str, ...]] | None
    lines: list[int]

    def examples(self, labels: Sequence[str]) -> WordExamples:
        """Return the sentences as rows, with numbers for their tags if there are any.

        Args:
            labels: The names of the tags in the order of their numbers.

        Raises:
            DataError: if a tag is none of them.
        """
        if self.tags is None:
            return WordExamples(self.words)
        tags = encode_tags(self.tags, labels, lines=self.lines, path=self.path)
        return WordExamples(self.words, tags)


def is_conll_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file name has a suffix of CoNLL files."""
    return pathlib.Path(path).suffix.lower() in SUFFIXES


def read_conll(
    path: str | os.PathLike[str], format: FileFormat, *, tags: bool = True
) -> TaggedWords:
    """Read the words and tags of a file with any suffix.

    Columns are separated by `format.delimiter`; by default by tabs if the first line
    has one, otherwise by spaces and tabs. Other white space, such as U+00A0, belongs to
    its word. Lines that begin with `-DOCSTART-`, or have it as their word, end a
    sentence and are skipped. Comments are skipped too: lines at the start of a sentence
    that begin with `#` and a space or tab, unless they have as many columns as other
    lines and a tag (before the first word: end in a tag).

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
    rows = list(_fields(read_text(path, format.encoding), format.delimiter))
    filled = [(number, fields) for number, fields in rows if fields]
    if not filled:
        raise DataError(f"A file of words must hold words. Received: {path}")
    width = len(filled[0][1])
    word_column, tag_column = _columns(
        format, width, f"{path}, line {filled[0][0]}", tags
    )
    _refuse_numbered(rows, word_column, path)
    _refuse_header(filled, path)
    words: list[list[str]] = [[]]
    found: list[list[str]] = [[]]
    lines: list[int] = []
    for number, fields in rows:
        where = f"{path}, line {number}"
        if fields and len(fields) != width:
            raise DataError(
                f"Every line must have {width} columns, as the first one has. "
                f"Received: {len(fields)} at {where}"
            )
        if not fields or fields[word_column] == _DOCUMENT:
            if words[-1]:
                words.append([])
                found.append([])
            continue
        word = fields[word_column]
        if not word or re.search("[ \t]", word):
            raise DataError(
                "Every word must be a text without spaces and tabs. Received: "
                f"{word!r} at {where}"
            )
        if tags:
            tag = fields[tag_column].strip()
            check_tag(tag, found[-1][-1] if found[-1] else OUTSIDE, where)
            found[-1].append(tag)
        if not words[-1]:
            lines.append(number)
        words[-1].append(word)
    count = len(lines)
    if not count:
        raise DataError(f"A file of words must hold words. Received: {path}")
    return TaggedWords(
        path,
        word_column,
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
        if not line.strip() or line.startswith(_DOCUMENT):
            start = True
            yield number, []
            continue
        if width is None and delimiter is None and "\t" in line:
            fields = line.split("\t")
        elif delimiter is None:
            fields = re.split("[ \t]+", line.strip(" \t"))
        else:
            fields = line.split(delimiter)
        comment = start and line.startswith(("# ", "#\t"))
        if comment and not _is_word(line, fields, width):
            continue
        if width is None:
            width = len(fields)
            delimiter = "\t" if delimiter is None and "\t" in line else delimiter
        start = False
        yield number, [field.strip(" \t") for field in fields]


def _is_word(line: str, fields: list[str], width: int | None) -> bool:
    """Whether a line that begins as a comment has the word `#` instead."""
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


def _refuse_header(rows: list[tuple[int, list[str]]], path: str) -> None:
    """Reject a first line that alone has no tag in a column of tags."""
    (number, first), *others = rows
    for column in range(1, len(first) if others else 0):
        if not is_tag(first[column]) and all(
            len(fields) == len(first) and is_tag(fields[column]) for _, fields in others
        ):
            raise DataError(
                "A file of words has no header. Received: "
                f"{' '.join(first)!r} at {path}, line {number}, above tags. Leave that "
                "line out"
            )


def _refuse_numbered(
    rows: list[tuple[int, list[str]]], word_column: int, path: str
) -> None:
    """Reject numbers of words in place of words, and CoNLL-U's lines of no one word.

    Raises:
        DataError: if the first of several columns counts the words and is read as
            words, or counts words of which some lines have several or none.
    """
    sentences: list[list[tuple[int, str]]] = [[]]
    for number, fields in rows:
        if not fields:
            sentences.append([])
        elif len(fields) == 1:
            return
        else:
            sentences[-1].append((number, fields[0]))
    numbers = [
        [first for _, first in sentence if not _NOT_ONE_WORD.fullmatch(first)]
        for sentence in sentences
    ]
    for of_sentence in numbers:
        if of_sentence != [str(i + 1) for i in range(len(of_sentence))]:
            return
    if max(map(len, numbers)) < 2:
        return
    if word_column == 0:
        raise DataError(
            "The words' column must hold words. Received: column 0 of "
            f"{path}, which counts them. If they are in the next one, give "
            "--text_columns=1"
        )
    for sentence in sentences:
        for number, first in sentence:
            if _NOT_ONE_WORD.fullmatch(first):
                raise DataError(
                    "Every line must hold one word with its tag. Received: "
                    f"{first!r} at {path}, line {number}: CoNLL-U's line of several "
                    "words, or of none. Leave such lines out"
                )
