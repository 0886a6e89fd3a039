"""The command lines on an adapter's model card."""

import json
import pathlib
import shlex
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter
from adapters_tf.models.exportable import check_exportable
from adapters_tf.models.kind_facts import facts_of

# The programs' flags that say how to read a file, with their defaults.
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
    """The command line that predicts for rows like those of training.

    Args:
        adapter: The adapter.
        directory: Where it is.
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
    """The command line that evaluates on rows labelled like those of training.

    Args:
        adapter: The adapter.
        directory: Where it is.
    """
    training = adapter.training
    # Studies record a task too, by a name of their own, and no file.
    if training.get("task") and "train_file" in training:
        rows = ["--data_dir=DATA" if training.get("data_dir") else "--tfds"]
    else:
        rows = [
            f"--file={_file(adapter, 'test')}",
            *_flags(adapter, LABEL_FLAGS | FORMAT_FLAGS),
        ]
    return shlex.join(["adapters-tf-evaluate", f"--adapter={directory}", *rows])


def export_command(adapter: Adapter, directory: str) -> str | None:
    """The command line that makes a SavedModel; `None` where exports refuse it.

    Args:
        adapter: The adapter.
        directory: Where it is.
    """
    try:
        check_exportable(adapter)
    except UserError:
        return None
    return shlex.join(
        ["adapters-tf-export", "adapter", f"--adapter={directory}", "--output_dir=A"]
    )


def load_lines(adapter: Adapter, directory: str) -> str:
    """The Python that loads the model, with its base.

    Args:
        adapter: The adapter.
        directory: Where it is.
    """
    arguments = [json.dumps(directory)]
    if adapter.preset is None:
        arguments.append('"PRESET"')
    return (
        f"import adapters_tf\n\nmodel = adapters_tf.load_model({', '.join(arguments)})"
    )


def _file(adapter: Adapter, stem: str) -> str:
    """A name that ends like that of the training file."""
    trained_on = adapter.training.get("train_file")
    suffix = pathlib.Path(trained_on).suffix if isinstance(trained_on, str) else ""
    return stem + (suffix or facts_of(adapter.kind).file_suffix)


def _flags(adapter: Adapter, defaults: dict[str, Any]) -> list[str]:
    """What training had of these, where it differs from the default."""
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
