"""Text classification tasks from their public files, with the fixed split."""

import collections
import fnmatch
import os
import pathlib
from collections.abc import Sequence

from absl import logging

from adapters_tf.data.examples import Examples
from adapters_tf.data.files import FileFormat, Table, check_skipped, read_columns
from adapters_tf.data.find_files import find_public_files
from adapters_tf.data.labels import encode_class_labels, infer_labels
from adapters_tf.data.text_file import utf8_or
from adapters_tf.data.text_layouts import TEXT_LAYOUTS, TextLayout
from adapters_tf.data.text_splits import split_examples

# Crowdflower's tables are in no one encoding. Every byte is some Latin-1 character.
OTHER_ENCODING = "latin-1"


def load_text_task(
    name: str, data_dir: str | os.PathLike[str]
) -> tuple[tuple[str, ...], dict[str, Examples]]:
    """Reads a task of `TEXT_LAYOUTS`, split by `split_by_text`.

    Rows without a text or an answer and those whose answer is no class are left out,
    and their numbers are logged. Rows that the crowd was checked with (`_golden`) are
    rows like others. The file is read as UTF-8, or as Latin-1 if it is not UTF-8.

    Args:
        name: A key of `TEXT_LAYOUTS`.
        data_dir: The folder that holds those of the tasks, such as `cf_airline`, or
            the task's own folder.

    Returns:
        The class names, and the rows under `"train"`, `"dev"` and `"test"`.

    Raises:
        DataError: The file is missing or not as published, or has too few rows.
    """
    layout = TEXT_LAYOUTS[name]
    folders = (layout.folder or name, name)
    choices = [(file,) for file in layout.files]
    (path,) = find_public_files(name, data_dir, folders, choices)
    table = _read(path, layout.format)
    rows, classes = _kept(table, layout)
    labels = layout.labels or infer_labels(classes)
    lines = [table.lines[i] for i in rows]
    encoded = encode_class_labels(classes, labels, lines=lines, path=table.path)
    texts = [table.texts[0][i] for i in rows]
    return labels, split_examples(Examples((texts,), encoded))


def _read(path: pathlib.Path, format: FileFormat) -> Table:
    # As a text, because an empty answer is no error here.
    both = FileFormat(
        text_columns=format.columns,
        delimiter=format.delimiter,
        header=format.header,
        quoting=format.quoting,
        encoding=utf8_or(path, OTHER_ENCODING),
    )
    table = read_columns(path, both, strict=False)
    quotes = "without quoting" if format.delimiter == "\t" else "with quotes around"
    check_skipped(table, f"separated by {format.delimiter!r}, {quotes}")
    return table


def _kept(table: Table, layout: TextLayout) -> tuple[list[int], list[str]]:
    """The rows that stay, and the class of each, or its answer if it is unknown."""
    texts, answers = table.texts
    classes = _classes([answer.strip() for answer in answers], layout)
    left_out: collections.Counter[str] = collections.Counter()
    rows = []
    for row, (text, name) in enumerate(zip(texts, classes, strict=True)):
        if name is None:
            left_out[f"answered {answers[row].strip()!r}"] += 1
        elif not name:
            left_out["without an answer"] += 1
        elif not text.strip():
            left_out["without a text"] += 1
        else:
            rows.append(row)
    if left_out:
        numbers = ", ".join(f"{n} {what}" for what, n in left_out.items())
        logging.info("%s: left out of %d rows: %s", table.path, len(texts), numbers)
    return rows, [classes[row] or "" for row in rows]


def _classes(answers: Sequence[str], layout: TextLayout) -> list[str | None]:
    patterns: dict[str, str | None] = dict.fromkeys(layout.left_out)
    patterns |= layout.answers
    known: dict[str, str | None] = {}
    for answer in set(answers):
        match = (p for p in patterns if fnmatch.fnmatchcase(answer, p))
        pattern = next(match, None)
        known[answer] = answer if pattern is None else patterns[pattern]
    return [known[answer] for answer in answers]
