"""GLUE's unlabelled test sets, from the files of its download script."""

import collections
import dataclasses
import os
import pathlib

from absl import logging

from adapters_tf.data.examples import Examples
from adapters_tf.data.files import FileFormat, Table, read_columns
from adapters_tf.data.find_files import find_public_files
from adapters_tf.data.glue_files import GLUE_LAYOUTS, find_glue_folder
from adapters_tf.errors import DataError


@dataclasses.dataclass(frozen=True)
class GlueTest:
    """One of the eleven test sets that GLUE's server scores.

    Attributes:
        task: The task whose adapter predicts it, a key of `GLUE_LAYOUTS`.
        rows: Number of its rows in the official download.
        texts: The columns of the texts.
        file: Its file in the folder of the task.
        index: The column of the row numbers.
    """

    task: str
    rows: int
    texts: tuple[str, ...]
    file: str = "test.tsv"
    index: str = "index"


_PAIR = ("sentence1", "sentence2")
DIAGNOSTIC = "AX"

# By the names of the files that the server takes.
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
    """Reads the rows of one test set.

    Nothing is left out, for the server wants a prediction for every row. That a copy
    has another number of rows than the official one is logged as a warning.

    Args:
        name: A key of `GLUE_TESTS`.
        data_dir: The folder that holds those of the tasks, such as `CoLA` or
            `cola`, and `diagnostic`; or the task's own folder.

    Returns:
        The row numbers as written, and the N unlabelled rows.

    Raises:
        DataError: The file is missing or not as GLUE's.
    """
    test = GLUE_TESTS[name]
    format = FileFormat(test.texts, test.index, delimiter="\t", quoting=False)
    table = read_columns(_find(name, data_dir), format, strict=False)
    numbers = table.raw_labels or []
    _check(table, numbers)
    if len(numbers) != test.rows:
        logging.warning(
            "%s has %d rows, but the official test set of %s has %d",
            table.path,
            len(numbers),
            name,
            test.rows,
        )
    return numbers, Examples(table.texts)


def _find(name: str, data_dir: str | os.PathLike[str]) -> pathlib.Path:
    test = GLUE_TESTS[name]
    if name != DIAGNOSTIC:
        return find_glue_folder(test.task, data_dir, (test.file,)) / test.file
    layout = GLUE_LAYOUTS[test.task]
    folders = ("diagnostic", "AX", "ax", layout.folder, layout.folder.lower())
    return find_public_files("GLUE's AX", data_dir, folders, [(test.file,)])[0]


def _check(table: Table, numbers: list[str]) -> None:
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
