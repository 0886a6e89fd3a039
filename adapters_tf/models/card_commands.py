"""Command lines for an adapter's model card."""

import json
import pathlib
import shlex
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.exportable import check_exportable
from adapters_tf.models.kind_facts import facts_of

# The command-line flags that describe a file's format, with their defaults.
FORMAT_FLAGS: dict[str, Any] = {
    "delimiter": None,
    "encoding": "utf-8-sig",
    "header": True,
    "quoting": None,
}
LABEL_FLAGS: dict[str, Any] = {
    "label_column": "label",
    "label_separator": None,
    "label_columns": None,
}


def predict_command(adapter: Adapter, directory: str) -> str:
    """Return the command line that predicts for rows like those of training.

    Args:
        adapter: The adapter.
        directory: The adapter's directory.
    """
    return shlex.join(
        [
            "adapters-tf-predict",
            f"--adapter={directory}",
            f"--file={_file(adapter, 'new')}",
            *_flags(adapter, FORMAT_FLAGS),
            "--output=predictions.jsonl",
        ]
    )


def evaluate_command(adapter: Adapter, directory: str) -> str:
    """Return the command line that evaluates on labelled rows like those of training.

    Args:
        adapter: The adapter.
        directory: The adapter's directory.
    """
    training = adapter.training
    # Studies also record a task name, but it is their own and has no file.
    if training.get("task") and "train_file" in training:
        rows = ["--data_dir=DATA" if training.get("data_dir") else "--tfds"]
    else:
        rows = [
            f"--file={_file(adapter, 'test')}",
            *_flags(adapter, LABEL_FLAGS | FORMAT_FLAGS),
        ]
    return shlex.join(["adapters-tf-evaluate", f"--adapter={directory}", *rows])


def export_command(adapter: Adapter, directory: str) -> str | None:
    """Return the command line that exports a SavedModel; `None` if unsupported.

    Args:
        adapter: The adapter.
        directory: The adapter's directory.
    """
    try:
        check_exportable(adapter)
    except UserError:
        return None
    return shlex.join(
        ["adapters-tf-export", "adapter", f"--adapter={directory}", "--output_dir=A"]
    )


def load_lines(adapter: Adapter, directory: str) -> str:
    """Return the Python code that loads the model with its base.

    Args:
        adapter: The adapter.
        directory: The adapter's directory.
    """
    arguments = [json.dumps(directory)]
    if adapter.preset is None:
        arguments.append('"PRESET"')
    return (
        f"import adapters_tf\n\nmodel = adapters_tf.load_model({', '.join(arguments)})"
    )


def _file(adapter: Adapter, stem: str) -> str:
    """Return a file name with the training file's suffix."""
    trained_on = adapter.training.get("train_file")
    suffix = pathlib.Path(trained_on).suffix if isinstance(trained_on, str) else ""
    return stem + (suffix or facts_of(adapter.kind).file_suffix)


def _flags(adapter: Adapter, defaults: dict[str, Any]) -> list[str]:
    """Return the training run's flags that differ from these defaults."""
    flags = []
    for name, default in defaults.items():
        value = adapter.training.get(name, default)
        if value is None or value == default:
            continue
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no{name}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            flags.append(f"--{name}={text}")
    return flags
