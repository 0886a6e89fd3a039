"""Flags that several programs have: a file of rows, a saved adapter, the cache."""

from typing import Any

from adapters_tf.bin.program import Groups
from adapters_tf.data.examples import Rows
from adapters_tf.data.files import FileFormat
from adapters_tf.data.row_stream import RowStream, WholeRows
from adapters_tf.errors import UserError
from adapters_tf.tasks.file_task import label_kinds, stream_file_examples
from adapters_tf.tasks.source import load_task
from adapters_tf.training.predict_texts import LoadedAdapter
from adapters_tf.training.prefix_cache import CACHE_MODES, CacheConfig, PrefixCache

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


CACHE_FLAGS = ("cache", "cache_gb")


def define_cache_flags(
    groups: Groups, default: str = "auto", modes: tuple[str, ...] = CACHE_MODES
) -> None:
    """Define the flags in the open group."""
    groups.choice("cache", default, modes, "of frozen blocks")
    groups.number("cache_gb", None, "its most gigabytes [half of what is free]")


def cache_config(flags: Any) -> CacheConfig:
    """Return the configuration that the flags describe."""
    return CacheConfig(flags.cache, flags.cache_gb)
