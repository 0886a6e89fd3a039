"""Flags for the format of a file of rows, and the `FileFormat` that they describe."""

from typing import Any

from adapters_tf.bin.program import Groups
from adapters_tf.data.files import FileFormat
from adapters_tf.tasks.file_task import label_kinds

FORMAT_FLAGS = ("text_columns", "delimiter", "encoding", "header", "quoting")


def define_format_flags(groups: Groups, text_columns: list[str] | None) -> None:
    """Define the flags of a file's format, apart from its labels."""
    default = "" if text_columns else " [those of training]"
    groups.strings(
        "text_columns",
        text_columns,
        f"of the text columns, in order{default}",
    )
    groups.string("delimiter", None, "of the columns; by default by the file's ending")
    groups.string("encoding", "utf-8-sig", "of the file, such as latin-1")
    groups.boolean("header", True, "without: name columns by number, from 0")
    groups.boolean("quoting", None, "fields may be in double quotes [.csv: yes]")


def define_label_flags(groups: Groups) -> None:
    """Define the flags of the labels, next to those of `define_format_flags`."""
    groups.string("label_column", "label", "name of the label column")
    groups.string("label_separator", None, "between several labels of a row, such as ;")
    groups.strings(
        "label_columns", None, "or a column of 0 and 1 for each label [label_column]"
    )


def define_train_file_flags(groups: Groups) -> None:
    """Define the flags of files of labelled rows; see `file_format`."""
    groups.group("Or a file (.csv, .tsv, .jsonl; SQuAD .json; .conll of BIO tags)")
    groups.string("train_file", None, "training rows, without empty texts")
    groups.string("dev_file", None, "rows to evaluate on [a part of the training rows]")
    define_format_flags(groups, ["text"])
    define_label_flags(groups)
    groups.choice(
        "label_kind",
        "auto",
        label_kinds(),
        "auto: number if a label has a fraction, else class; multi: any number a row; "
        "tags: one a word",
    )
    groups.number("dev_fraction", 0.1, "part of the training rows, without dev_file")


def file_format(flags: Any, label_column: str | None) -> FileFormat:
    """Return the format that the flags describe.

    Args:
        flags: The command line's flags.
        label_column: Name of the label column; `None` to read no labels.
    """
    several: dict[str, Any] = {}
    if label_column is not None:
        several["label_separator"] = _unescaped(flags.label_separator)
        if flags.label_columns:
            several["label_columns"] = tuple(flags.label_columns)
            # --label_columns replaces the default of --label_column.
            label_column = label_column if flags["label_column"].present else None
    return FileFormat(
        text_columns=tuple(flags.text_columns or ("text",)),
        label_column=label_column,
        delimiter=_unescaped(flags.delimiter),
        encoding=flags.encoding,
        header=flags.header,
        quoting=flags.quoting,
        **several,
    )


def _unescaped(separator: str | None) -> str | None:
    """Replace `\\t` by a tab, which is hard to type in some shells."""
    return None if separator is None else separator.replace("\\t", "\t")
