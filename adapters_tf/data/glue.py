"""Read the nine GLUE tasks and eleven test sets from GLUE's own files."""

import collections
import dataclasses
import os
import pathlib

from absl import logging

from adapters_tf.data.examples import Examples
from adapters_tf.data.files import (
    FileFormat,
    Table,
    check_skipped,
    find_public_files,
    read_columns,
)
from adapters_tf.data.labels import encode_class_labels, encode_scores
from adapters_tf.errors import DataError


@dataclasses.dataclass(frozen=True)
class GlueLayout:
    """The layout of a GLUE task in its files and in TensorFlow Datasets.

    Attributes:
        folder: Its folder in the official download.
        text_columns: Names of its texts in TensorFlow Datasets.
        labels: Its class names in TensorFlow Datasets' order; empty for the scores of
            STS-B.
        file_texts: The text columns in its files.
        file_label: The label column in its files.
        file_labels: The classes as written in its files, in the order of `labels`.
        header: Whether its files have a header.
        dev_files: Its development files by split name.
    """

    folder: str
    text_columns: tuple[str, ...]
    labels: tuple[str, ...]
    file_texts: tuple[str, ...]
    file_label: str = "label"
    file_labels: tuple[str, ...] = ("0", "1")
    header: bool = True
    dev_files: tuple[tuple[str, str], ...] = (("dev", "dev.tsv"),)


_PAIR = ("sentence1", "sentence2")
_NLI = ("entailment", "not_entailment")
_MNLI = ("entailment", "neutral", "contradiction")

GLUE_LAYOUTS: dict[str, GlueLayout] = {
    "cola": GlueLayout(
        "CoLA",
        ("sentence",),
        ("unacceptable", "acceptable"),
        file_texts=("3",),
        file_label="1",
        header=False,
    ),
    "sst2": GlueLayout("SST-2", ("sentence",), ("negative", "positive"), ("sentence",)),
    "mrpc": GlueLayout(
        "MRPC",
        _PAIR,
        ("not_equivalent", "equivalent"),
        ("#1 String", "#2 String"),
        "Quality",
    ),
    "stsb": GlueLayout("STS-B", _PAIR, (), _PAIR, "score", ()),
    "qqp": GlueLayout(
        "QQP",
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        ("question1", "question2"),
        "is_duplicate",
    ),
    "mnli": GlueLayout(
        "MNLI",
        ("premise", "hypothesis"),
        _MNLI,
        _PAIR,
        "gold_label",
        _MNLI,
        dev_files=(("dev", "dev_matched.tsv"), ("mismatched", "dev_mismatched.tsv")),
    ),
    "qnli": GlueLayout(
        "QNLI", ("question", "sentence"), _NLI, ("question", "sentence"), "label", _NLI
    ),
    "rte": GlueLayout("RTE", _PAIR, _NLI, _PAIR, "label", _NLI),
    "wnli": GlueLayout("WNLI", _PAIR, ("not_entailment", "entailment"), _PAIR),
}


def load_glue_files(name: str, data_dir: str | os.PathLike[str]) -> dict[str, Examples]:
    """Read the training and development rows of a GLUE task.

    Quoting is off, as in GLUE. The official QQP has a few rows with a wrong number of
    columns, which are left out and counted in the log, and some empty texts, which are
    kept. TensorFlow Datasets does the same.

    Args:
        name: A key of `GLUE_LAYOUTS`.
        data_dir: The folder with all tasks' folders, such as `CoLA` or `cola`, or the
            task's own folder.

    Returns:
        Examples under `"train"` and `"dev"`, and for MNLI `"mismatched"`.

    Raises:
        DataError: if a file is missing, not in GLUE's format, or has too many malformed
            rows.
    """
    layout = GLUE_LAYOUTS[name]
    files = {"train": "train.tsv", **dict(layout.dev_files)}
    paths = _find(name, data_dir, *files.values())
    format = FileFormat(
        text_columns=layout.file_texts,
        label_column=layout.file_label,
        header=layout.header,
        delimiter="\t",
        quoting=False,
    )
    splits = {}
    for split, file in zip(files, paths, strict=True):
        table = read_columns(file, format, strict=False)
        check_skipped(table, "separated by tabs, without quoting")
        raw, lines, path = table.raw_labels or [], table.lines, table.path
        if layout.labels:
            labels = encode_class_labels(
                raw, layout.file_labels, lines=lines, path=path
            )
        else:
            labels = encode_scores(raw, lines=lines, path=path)
        splits[split] = Examples(texts=table.texts, labels=labels)
    return splits


def _find(
    name: str, data_dir: str | os.PathLike[str], *files: str
) -> list[pathlib.Path]:
    """Find the files of a task, in the folder that holds the first of them."""
    folder = GLUE_LAYOUTS[name].folder
    others = {key: value.folder for key, value in GLUE_LAYOUTS.items() if key != name}
    return find_public_files(
        name,
        data_dir,
        (folder, folder.lower(), name),
        [files],
        # Several tasks have the same columns, so do not take RTE's folder for STS-B's.
        foreign={*others, *others.values(), *map(str.lower, others.values())},
        advice=(
            "GLUE's download script makes these folders; without a data_dir, "
            "TensorFlow Datasets has the labelled rows"
        ),
    )


@dataclasses.dataclass(frozen=True)
class GlueTest:
    """One of the eleven test sets that GLUE's server scores.

    Attributes:
        task: The task whose adapter predicts it, a key of `GLUE_LAYOUTS`.
        rows: Number of its rows in the official download.
        texts: The text columns.
        file: Its file in the task's folder.
        index: The column of row numbers.
    """

    task: str
    rows: int
    texts: tuple[str, ...]
    file: str = "test.tsv"
    index: str = "index"


DIAGNOSTIC = "AX"

# The keys are the names of the files that the server accepts.
GLUE_TESTS: dict[str, GlueTest] = {
    "CoLA": GlueTest("cola", 1063, ("sentence",)),
    "SST-2": GlueTest("sst2", 1821, ("sentence",)),
    "MRPC": GlueTest("mrpc", 1725, ("#1 String", "#2 String")),
    "STS-B": GlueTest("stsb", 1379, _PAIR),
    "QQP": GlueTest("qqp", 390965, ("question1", "question2"), index="id"),
    "MNLI-m": GlueTest("mnli", 9796, _PAIR, "test_matched.tsv"),
    "MNLI-mm": GlueTest("mnli", 9847, _PAIR, "test_mismatched.tsv"),
    "QNLI": GlueTest("qnli", 5463, ("question", "sentence")),
    "RTE": GlueTest("rte", 3000, _PAIR),
    "WNLI": GlueTest("wnli", 146, _PAIR),
    DIAGNOSTIC: GlueTest("mnli", 1104, _PAIR, "diagnostic.tsv"),
}


def read_glue_test(
    name: str, data_dir: str | os.PathLike[str]
) -> tuple[list[str], Examples]:
    """Read the rows of one test set.

    No row is left out, because the server needs a prediction for every row. If the
    number of rows differs from the official one, a warning is logged.

    Args:
        name: A key of `GLUE_TESTS`.
        data_dir: The folder with all tasks' folders, such as `CoLA` or `cola`, and
            `diagnostic`; or the task's own folder.

    Returns:
        The row numbers as written, and the N unlabelled rows.

    Raises:
        DataError: if the file is missing or not in GLUE's format.
    """
    test = GLUE_TESTS[name]
    format = FileFormat(test.texts, test.index, delimiter="\t", quoting=False)
    table = read_columns(_find_test(name, data_dir), format, strict=False)
    numbers = table.raw_labels or []
    _check_numbers(table, numbers)
    if len(numbers) != test.rows:
        logging.warning(
            "%s has %d rows, but the official test set of %s has %d",
            table.path,
            len(numbers),
            name,
            test.rows,
        )
    return numbers, Examples(table.texts)


def _find_test(name: str, data_dir: str | os.PathLike[str]) -> pathlib.Path:
    test = GLUE_TESTS[name]
    if name != DIAGNOSTIC:
        return _find(test.task, data_dir, test.file)[0]
    layout = GLUE_LAYOUTS[test.task]
    folders = ("diagnostic", "AX", "ax", layout.folder, layout.folder.lower())
    return find_public_files("GLUE's AX", data_dir, folders, [(test.file,)])[0]


def _check_numbers(table: Table, numbers: list[str]) -> None:
    if table.skipped:
        raise DataError(
            "Every row of a test set must have as many columns as the header. "
            f"Received: {table.path}, in which {table.skipped} rows do not"
        )
    counts = collections.Counter(numbers)
    wrong = [i for i, n in enumerate(numbers) if not n.isdecimal() or counts[n] > 1]
    if wrong:
        raise DataError(
            "Every row of a test set must have a whole number of its own. Received: "
            f"{table.path}, line {table.lines[wrong[0]]}: {numbers[wrong[0]]!r} "
            f"({len(wrong)} of {len(numbers)} rows have none)"
        )
