"""The nine GLUE tasks from the files of GLUE's download script."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from adapters_tf.data.examples import Examples
from adapters_tf.data.files import FileFormat, check_skipped, read_columns
from adapters_tf.data.labels import encode_class_labels, encode_scores
from adapters_tf.errors import DataError


@dataclasses.dataclass(frozen=True)
class GlueLayout:
    """One GLUE task, in its files and in TensorFlow Datasets.

    Attributes:
        folder: Its folder in the official download.
        text_columns: Names of its texts in TensorFlow Datasets.
        labels: Its class names and their order in TensorFlow Datasets; empty
            for the scores of STS-B.
        file_texts: The columns of the texts in its files.
        file_label: The column of the label in its files.
        file_labels: The classes as written in its files, in the order of
            `labels`.
        header: Whether its files have a header.
        dev_files: Its development files by the names of their splits.
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
    """Reads the training and development rows of a GLUE task.

    Quoting is off, as in GLUE. Rows of a wrong number of columns, of which the
    official QQP has a few, are left out and their number is logged; empty
    texts, of which it has some too, are kept. TensorFlow Datasets does both.

    Args:
        name: A key of `GLUE_LAYOUTS`.
        data_dir: The folder that holds those of the tasks, such as `CoLA` or
            `cola`, or the task's own folder.

    Returns:
        Examples under `"train"` and `"dev"`, and of MNLI under `"mismatched"`.

    Raises:
        DataError: A file is missing or not as GLUE's, or too many rows of it
            are malformed.
    """
    layout = GLUE_LAYOUTS[name]
    names = ("train.tsv", *(file for _, file in layout.dev_files))
    folder = find_glue_folder(name, data_dir, names)
    format = FileFormat(
        text_columns=layout.file_texts,
        label_column=layout.file_label,
        header=layout.header,
        delimiter="\t",
        quoting=False,
    )
    splits = {}
    for split, file in (("train", "train.tsv"), *layout.dev_files):
        table = read_columns(folder / file, format, strict=False)
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


def find_glue_folder(
    name: str, data_dir: str | os.PathLike[str], files: Sequence[str]
) -> pathlib.Path:
    """The folder of a task that holds the first of these files.

    Args:
        name: A key of `GLUE_LAYOUTS`.
        data_dir: As for `load_glue_files`.
        files: Names of the files that it should hold.

    Raises:
        DataError: There is none.
    """
    root = pathlib.Path(data_dir)
    layout = GLUE_LAYOUTS[name]
    names = dict.fromkeys((layout.folder, layout.folder.lower(), name))
    tried = [root / folder for folder in names]
    if root.name not in _folders_of_others(name):
        tried.append(root)
    for folder in tried:
        if (folder / files[0]).exists():
            return folder
    missing = f"there is no {files[0]}" if root.is_dir() else "there is no folder"
    raise DataError(
        f"The files of {name} must be {' and '.join(files)} in one of "
        f"{', '.join(map(str, tried))}. Received: data_dir={data_dir}, where "
        f"{missing}. GLUE's download script makes these folders; without a data_dir, "
        "TensorFlow Datasets has the labelled rows"
    )


def _folders_of_others(name: str) -> set[str]:
    # Several tasks have the same columns: RTE's folder must not serve as STS-B's.
    others = {key: value for key, value in GLUE_LAYOUTS.items() if key != name}
    folders = {layout.folder for layout in others.values()}
    return folders | {folder.lower() for folder in folders} | set(others)
