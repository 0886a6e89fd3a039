"""The flags of the programs that use a saved adapter, and what they name."""

from typing import Any

from adapters_tf.bin.data_flags import define_format_flags, file_format
from adapters_tf.bin.program import Groups
from adapters_tf.data.examples import Examples, QuestionExamples
from adapters_tf.training.predict_texts import LoadedAdapter


def define_adapter_flags(groups: Groups, rows: str) -> None:
    """Define the adapter, and the file of rows with its format.

    Args:
        groups: The program's flags. Flags of the file may be added behind.
        rows: What the rows of the file are.
    """
    groups.group("Adapter")
    groups.string("adapter", None, "adapter directory")
    groups.string("preset", None, "where the base is [where training loaded it]")
    groups.integer("batch_size", 64, "rows of a batch")
    groups.group("File (.csv, .tsv, .jsonl; SQuAD .json for questions)")
    groups.string("file", None, rows)
    define_format_flags(groups, None)


def open_adapter(flags: Any) -> LoadedAdapter:
    """The adapter that the flags name."""
    return LoadedAdapter(flags.adapter, flags.preset, flags.batch_size)


def read_rows(
    flags: Any, loaded: LoadedAdapter, label_column: str | None
) -> Examples | QuestionExamples:
    """The rows of the file, by default of the columns that training read.

    Args:
        flags: The command line's.
        loaded: The adapter.
        label_column: Name of the label column; `None` to read no labels.
    """
    if not flags.text_columns:
        flags.text_columns = list(loaded.task.text_columns)
    return loaded.read(flags.file, file_format(flags, label_column))
