"""Write the model card of an adapter directory."""

import dataclasses
import json
import pathlib
import shlex
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter, check_exportable
from adapters_tf.models.task import facts_of


def model_card(adapter: Adapter) -> str:
    """Return a model card in Hugging Face's Markdown format.

    The card contains only facts from the adapter's record; it makes no claims about
    data or licences.

    Args:
        adapter: The adapter to describe.

    Returns:
        A YAML header, then the task, the results, commands that use the adapter, its
        training settings, and limits.
    """
    task = adapter.task
    name = _one_line(task.get("name") or "unnamed task")
    base = f"`{_one_line(adapter.preset)}`" if adapter.preset else "its base"
    parameters = sum(tensor.size for tensor in adapter.tensors.values())
    parts = [
        f"# Adapter for {name}",
        f"What one task adds to the base {base}: {parameters:,} parameters, trained "
        f"with tuning `{adapter.tuning.method}` and saved by adapters-tf. The base is "
        "not in this directory.",
        "## Task",
        _table(_about_task(adapter)),
        "## Results",
        _results(adapter),
        "## Use",
        _use(adapter),
        "## Training",
        _training(adapter),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(adapter)),
    ]
    return _header(adapter) + "\n" + "\n\n".join(parts) + "\n"


def _header(adapter: Adapter) -> str:
    header: dict[str, Any] = {
        "library_name": "adapters-tf",
        "tags": ["adapters", "keras", "tensorflow"],
    }
    if tag := facts_of(adapter.kind).pipeline_tag:
        header["pipeline_tag"] = tag
    # The hub accepts only its own names; a path would be an error.
    if adapter.preset and adapter.preset.startswith("hf://"):
        header["base_model"] = adapter.preset.removeprefix("hf://")
    if adapter.metrics:
        header["metrics"] = sorted(adapter.metrics)
    # JSON values are valid YAML.
    lines = [f"{key}: {json.dumps(value)}" for key, value in header.items()]
    return "\n".join(["---", *lines, "---", ""])


def _about_task(adapter: Adapter) -> dict[str, Any]:
    task = adapter.task
    rows: dict[str, Any] = {"kind": adapter.kind.replace("_", " ")}
    for key, title in (("text_columns", "text columns"), ("labels", "labels")):
        if task.get(key):
            rows[title] = ", ".join(f"`{_one_line(v)}`" for v in task[key])
    rows["longest input"] = f"{adapter.seq_length} tokens"
    if adapter.adapter is not None:
        rows |= adapter.adapter.about()
    if adapter.base_fingerprint:
        rows["base's fingerprint"] = f"`{adapter.base_fingerprint}`"
    return rows


def _results(adapter: Adapter) -> str:
    if not adapter.metrics:
        return "None is recorded."
    scores = {name: f"{value:.4f}" for name, value in sorted(adapter.metrics.items())}
    count = adapter.training.get("dev_rows")
    rows = f"{count:,} dev rows" if isinstance(count, int) else "dev rows"
    return f"On the run's {rows}, as fractions:\n\n{_table(scores)}"


def _use(adapter: Adapter) -> str:
    python = _fenced("python", load_lines(adapter, "DIR"))
    if not adapter.task:
        return (
            "It was saved without its task, which the programs need. With this "
            f"directory as `DIR`:\n\n{python}"
        )
    commands = [
        predict_command(adapter, "DIR"),
        evaluate_command(adapter, "DIR"),
        export_command(adapter, "DIR"),
    ]
    lines = "\n".join(line for line in commands if line is not None)
    where = "With this directory as `DIR`"
    if "--data_dir=DATA" in lines:
        where += " and the folder of the task's public files as `DATA`"
    return f"{where}:\n\n{_fenced('sh', lines)}\n\n{python}"


def _training(adapter: Adapter) -> str:
    # The adapter's own properties are known even if its training run is not.
    form = {
        "tuning": dataclasses.asdict(adapter.tuning),
        "adapter": adapter.adapter and adapter.adapter.to_dict(),
        "head": adapter.head,
    }
    rows = {name: _code(value) for name, value in form.items() if value}
    known = sorted(adapter.training.items())
    rows |= {f"`{name}`": _code(value) for name, value in known if value is not None}
    rows |= {f"{name}, version": v for name, v in sorted(adapter.versions.items())}
    text = _table(rows)
    return text if known else f"{text}\n\nNothing is recorded of the run."


def _limits(adapter: Adapter) -> list[str]:
    limits = [
        "It works on the base with the fingerprint above only; another one is refused.",
        facts_of(adapter.kind).long_input.format(adapter.seq_length),
    ]
    if adapter.task.get("labels"):
        answer = facts_of(adapter.kind).answer
        limits.append(f"It answers with {answer}, however unlike those of training.")
    limits.append(
        "The terms of the base and of the training data apply; they are not recorded."
    )
    return limits


def _table(rows: dict[str, Any]) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _fenced(language: str, text: str) -> str:
    """Return a code block that the text cannot close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _code(value: Any) -> str:
    """Return a JSON value as a code span; drop null values of a dictionary."""
    if isinstance(value, dict):
        # Sort as in the file, so that a reloaded adapter has the same card.
        value = {k: v for k, v in sorted(value.items()) if v is not None}
    return f"`{_one_line(json.dumps(value))}`"


def _one_line(text: Any) -> str:
    """Put user text on one line, safe for a table cell or a code span."""
    return " ".join(str(text).replace("`", "'").replace("|", "\\|").split())


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
