"""The flags that say how to read a file of rows, and their meaning."""

from typing import Any

from adapters_tf.bin.program import Groups
from adapters_tf.data.files import FileFormat


def define_format_flags(groups: Groups, text_columns: list[str] | None) -> None:
    """Define how the rows of a file are read, apart from their labels."""
    default = "" if text_columns else " [those of training]"
    groups.strings(
        "text_columns", text_columns, f"name(s) of one or two text columns{default}"
    )
    groups.string("delimiter", None, "of the columns; by default by the file's ending")
    groups.string("encoding", "utf-8-sig", "of the file, such as latin-1")
    groups.boolean("header", True, "without: name columns by number, from 0")
    groups.boolean("quoting", None, "fields may be in double quotes [.csv: yes]")


def file_format(flags: Any, label_column: str | None) -> FileFormat:
    """The format that the flags describe."""
    delimiter = flags.delimiter
    return FileFormat(
        text_columns=tuple(flags.text_columns or ("text",)),
        label_column=label_column,
        delimiter=None if delimiter is None else delimiter.replace("\\t", "\t"),
        encoding=flags.encoding,
        header=flags.header,
        quoting=flags.quoting,
    )
