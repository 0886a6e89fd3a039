"""Flags of programs that use a saved adapter: the adapter and its rows."""

from typing import Any

from adapters_tf.bin.data_flags import (
    define_format_flags,
    define_label_flags,
    file_format,
)
from adapters_tf.bin.program import Groups
from adapters_tf.data.examples import Rows
from adapters_tf.data.files import FileFormat
from adapters_tf.data.row_stream import RowStream, WholeRows
from adapters_tf.errors import UserError
from adapters_tf.tasks.file_task import stream_file_examples
from adapters_tf.tasks.registry import load_task
from adapters_tf.training.predict_texts import LoadedAdapter
from adapters_tf.training.prefix_cache.cache import PrefixCache


def define_adapter_flags(groups: Groups, rows: str) -> None:
    """Define the flags of the adapter, the file of rows and its format.

    Args:
        groups: The program's flags. The group of the file's flags remains open.
        rows: Help text of `--file`.
    """
    groups.group("Adapter")
    groups.string("adapter", None, "adapter directory")
    groups.string("preset", None, "where the base is [where training loaded it]")
    groups.integer("batch_size", 64, "rows of a batch")
    groups.group(
        "File (.csv, .tsv, .jsonl; SQuAD .json for questions; .conll for tags)"
    )
    groups.string("file", None, rows)
    define_format_flags(groups, None)


def open_adapter(flags: Any, cache: PrefixCache | None = None) -> LoadedAdapter:
    """Load the adapter that the flags name."""
    return LoadedAdapter(flags.adapter, flags.preset, flags.batch_size, cache)


def _file_format(
    flags: Any, loaded: LoadedAdapter, label_column: str | None
) -> FileFormat:
    """Return the format of the file; text columns default to those of training."""
    if not flags.text_columns:
        flags.text_columns = list(loaded.task.text_columns)
    return file_format(flags, label_column)


def stream_rows(flags: Any, loaded: LoadedAdapter) -> RowStream | WholeRows:
    """Open the file's rows without labels, to read in windows."""
    format = _file_format(flags, loaded, None)
    return stream_file_examples(flags.file, format, loaded.task)


def define_labelled_flags(groups: Groups) -> None:
    """Define the flags of the adapter and its source of labelled rows."""
    define_adapter_flags(groups, "labelled rows, without empty texts")
    define_label_flags(groups)
    groups.group("Or the dev rows of the named task it was trained on (--task)")
    groups.string("data_dir", None, "folder with the task's public files")
    groups.boolean("tfds", False, "from TensorFlow Datasets")
    groups.string("tfds_data_dir", None, "folder of TensorFlow Datasets")


def check_labelled_flags(flags: Any) -> None:
    """Check that the command line names exactly one source of rows.

    Raises:
        UserError: if it names none or several.
    """
    if sum((bool(flags.file), bool(flags.data_dir), flags.tfds)) != 1:
        raise UserError("Give one of --file, --data_dir and --tfds. See --help.")


def read_labelled_rows(flags: Any, loaded: LoadedAdapter) -> Rows:
    """Read the labelled rows that the flags name.

    Raises:
        UserError: if the rows are unreadable, or their classes are not the adapter's.
    """
    if flags.file:
        format = _file_format(flags, loaded, flags.label_column)
        return loaded.read(flags.file, format)
    data = load_task(loaded.task.name, flags.data_dir, flags.tfds_data_dir)
    if data.task.labels != loaded.task.labels:
        raise UserError(
            "The rows must have the classes that the adapter was trained on, "
            f"{', '.join(loaded.task.labels)}. Received: {flags.data_dir}, with "
            f"{', '.join(data.task.labels)}"
        )
    return data.dev
