"""Write the files and example requests to serve with TensorFlow Serving."""

import dataclasses
import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.errors import UserError
from adapters_tf.export.deployment import config_files
from adapters_tf.export.deployment.config_files import (
    DEFAULT_MODEL_NAME,
    BatchingSettings,
    commands_text,
    container_path,
    docker_compose,
)
from adapters_tf.export.deployment.kubernetes import (
    adapter_rules,
    kubernetes_commands,
    kubernetes_manifests,
)
from adapters_tf.export.describe import find_versions, read_servable_json
from adapters_tf.export.rows import SEPARATOR
from adapters_tf.export.session import Signature
from adapters_tf.io import new_directory

MODELS_FILE = "models.config"
_CLIENTS = ("client_rest.py", "client_grpc.py")


def newest_version(servable_dir: str | os.PathLike[str]) -> Path:
    """Find the version of a servable that TensorFlow Serving loads.

    Raises:
        UserError: if it has no version.
    """
    versions = find_versions(Path(servable_dir))
    if not versions:
        raise UserError(
            "A servable is a directory with versions, <servable>/<integer>/. Received: "
            f"{str(servable_dir)!r}, which has none. Write one with adapters-tf-export."
        )
    return versions[max(versions)]


def write_deployment(
    servable_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    model_name: str = DEFAULT_MODEL_NAME,
    batching: BatchingSettings | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the files to serve a servable with the stock TensorFlow Serving.

    They are `models.config`, `batching.config`, `monitoring.config`,
    `docker-compose.yml`, `kubernetes.yaml`, `prometheus-adapter.yaml`,
    `client_rest.py`, `client_grpc.py`, and `README.md` with the commands. This function
    parses the three configurations with the server's protos before it writes them. The
    folder is written atomically.

    Args:
        servable_dir: A servable, with at least one version.
        output_dir: The folder to write; missing parents are created.
        model_name: The name in the requests of clients.
        batching: How the server batches requests; `BatchingSettings()` by default.
        overwrite: Replace an existing folder of deployment files. Other files and
            non-empty directories are never replaced.

    Returns:
        `output_dir` as a path.

    Raises:
        UserError: if the servable has no version, a value is out of range, the
            folder exists, or it cannot be written.
    """
    servable = Path(servable_dir).absolute()
    path = Path(output_dir)
    _check_output(path, overwrite)
    version = newest_version(servable)
    content = read_servable_json(version)
    settings = batching or BatchingSettings()
    models = config_files.models_config(model_name, container_path(model_name))
    batching_text = config_files.batching_config(settings)
    monitoring = config_files.monitoring_config()
    config_files.check_models_config(models)
    config_files.check_batching_config(batching_text)
    config_files.check_monitoring_config(monitoring)
    configs = {
        MODELS_FILE: models,
        "batching.config": batching_text,
        "monitoring.config": monitoring,
    }
    readme = commands_text(model_name, str(servable), _client_rows(content))
    files = {
        **configs,
        "docker-compose.yml": docker_compose(model_name, str(servable)),
        "kubernetes.yaml": kubernetes_manifests(
            model_name, configs, settings.num_batch_threads, _size(version)
        ),
        "prometheus-adapter.yaml": adapter_rules(),
        "README.md": readme + kubernetes_commands(model_name, str(servable)),
    }
    for name in _CLIENTS:
        files[name] = _client(name, model_name, _client_rows(content))
    _write(files, path)
    return path


def _size(directory: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _check_output(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else {""}
    if names and not overwrite:
        raise UserError(
            f"Deployment files go to a new directory. Received: {str(path)!r}, which "
            "exists; choose another one or pass overwrite=True."
        )
    if names and MODELS_FILE not in names:
        raise UserError(
            "overwrite=True replaces a folder of deployment files, and nothing else. "
            f"Received: {str(path)!r}, which has no {MODELS_FILE}; choose another one "
            "or remove it."
        )


def _client_rows(servable: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row for each of the first three tasks."""
    rows = default_examples(servable).rows
    return [
        {"text": rows[task][0][0], "text_pair": rows[task][0][1], "task": task}
        for task in list(rows)[:3]
    ] or [{"text": "A text.", "text_pair": "", "task": ""}]


def _verbatim(text: str, match: re.Match[str]) -> str:
    """Return `text` as a replacement in which `re` does not interpret backslashes."""
    return text


def _client(name: str, model_name: str, rows: list[dict[str, str]]) -> str:
    """Return a client's text with the model's name and rows filled in."""
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    # JSON strings are valid Python strings.
    lines = [f"    {json.dumps(row, ensure_ascii=False)},\n" for row in rows]
    constants = {"MODEL_NAME": json.dumps(model_name), "ROWS": f"[\n{''.join(lines)}]"}
    for constant, value in constants.items():
        line = f"{constant} = {value}"
        put = functools.partial(_verbatim, line)
        text, found = re.subn(rf"(?m)^{constant} = .*$", put, text)
        assert found == 1, f"{name} must set {constant} once, on one line"
    return text


def _write(files: dict[str, str], path: Path) -> None:
    try:
        with new_directory(path, replace=True) as temporary:
            for name, text in files.items():
                (temporary / name).write_bytes(text.encode())
    except OSError as error:
        raise UserError(
            f"The deployment could not be written to {str(path)!r}: "
            f"{error.strerror or error}"
        ) from error


# A row is (text, text_pair); the pair is "" if a task has one text column.
Row = tuple[str, str]

_SHORT = "A quiet film with a lovely cast."
_LONG = (
    "The first half is slow, and I nearly left; but from the storm on it holds "
    "together, the two sisters are played with great care, and the last scene, in "
    "which neither of them says a word, is worth the price of the ticket alone. "
) * 4
_SINGLES = ((_SHORT, ""), (_LONG, ""))
_TOKEN_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
# Ids after the special tokens that start BERT's vocabularies, which are larger.
_FIRST_WORD, _WORDS = 5, 16


@dataclasses.dataclass(frozen=True)
class Examples:
    """Example rows for every task, and the length of a row of tokens.

    Attributes:
        rows: Task name -> rows, the most important tasks first, each with at least one
            row. Short and long texts should alternate.
        seq_length: Tokens of a full row.
    """

    rows: Mapping[str, Sequence[Row]]
    seq_length: int


def default_examples(
    servable: Mapping[str, Any], rows: Mapping[str, Sequence[Row]] | None = None
) -> Examples:
    """Return a short and a long text, pair or question for each task.

    Args:
        servable: The content of `servable.json`.
        rows: Real rows of some tasks, used instead.

    Raises:
        UserError: if `rows` names a task that the servable lacks, or is empty for a
            task.
    """
    # Imported here, because clients import this module without Keras.
    from adapters_tf.tasks.kinds import kind_named

    rows = dict(rows or {})
    unknown = sorted(set(rows) - set(servable["tasks"]))
    empty = sorted(name for name in rows if not rows[name])
    if unknown or empty:
        raise UserError(
            "rows must have at least one row for each task that it names, and name "
            f"tasks of the servable. Received: {unknown + empty}. The servable has: "
            f"{sorted(servable['tasks'])}"
        )
    for name, task in servable["tasks"].items():
        if name not in rows:
            count = max(len(task["text_columns"]), 1)
            own = kind_named(task["kind"]).example_rows(_SHORT, _LONG, count)
            rows[name] = [(row[0], SEPARATOR.join(row[1:])) for row in own]
    # Use the servable's order, not the order of `rows`.
    return Examples({n: rows[n] for n in servable["tasks"]}, servable["seq_length"])


def task_of(signature_name: str, examples: Examples) -> str | None:
    """Return a signature's task, or `None` for a signature of all tasks."""
    if signature_name in examples.rows:
        return signature_name
    task = signature_name.removesuffix("_text")
    return task if task in examples.rows else None


def make_inputs(
    name: str, signature: Signature, examples: Examples, rows: int, length: int
) -> dict[str, np.ndarray]:
    """Make values for the inputs of a signature.

    Args:
        name: The signature's name.
        signature: Its inputs.
        examples: The source of texts and task names.
        rows: The batch size.
        length: Tokens per row, for inputs of tokens without a fixed length.

    Returns:
        Input name -> array, `[rows]` of Python bytes or `[rows, length]`.

    Raises:
        UserError: if it has inputs with unknown names.
    """
    values: dict[str, np.ndarray] = {}
    task = task_of(name, examples)
    texts = _text_rows(task, examples, rows)
    for input_name, info in signature.inputs.items():
        if input_name in ("text", "text_pair", "task"):
            column = ("text", "text_pair", "task").index(input_name)
            strings = [row[column].encode() for row in texts]
            values[input_name] = np.array(strings, object)
        elif input_name in _TOKEN_INPUTS:
            if info.shape is not None and info.shape[1] is not None:
                length = info.shape[1]
            array = _tokens(input_name, rows, length)
            values[input_name] = array.astype(info.dtype.as_numpy_dtype)
        else:
            raise UserError(
                f"Examples are known for text, text_pair, task and {_TOKEN_INPUTS}. "
                f"Received: signature {name!r} with the input {input_name!r}. Make "
                "its requests yourself and give them to write_warmup."
            )
    return values


def _text_rows(
    task: str | None, examples: Examples, rows: int
) -> list[tuple[str, str, str]]:
    """Return `rows` (text, text_pair, task), of one task or alternating tasks."""
    if task is not None:
        own = examples.rows[task]
        return [(*own[i % len(own)], task) for i in range(rows)]
    names = list(examples.rows)
    found = []
    for i in range(rows):
        turn, at = divmod(i, max(len(names), 1))
        if names:
            own = examples.rows[names[at]]
            # Mix short and long texts across tasks.
            found.append((*own[(turn + at) % len(own)], names[at]))
        else:
            found.append((*_SINGLES[i % 2], ""))
    return found


def _tokens(name: str, rows: int, length: int) -> np.ndarray:
    """Make rows of tokens that end in padding; every other row is half full."""
    position = np.arange(length)[None, :]
    filled = np.where(np.arange(rows) % 2, (length + 1) // 2, length)[:, None]
    inside = position < filled
    if name == "input_mask":
        return inside.astype(np.int32)
    if name == "input_type_ids":
        return (inside & (position >= filled // 2)).astype(np.int32)
    words = _FIRST_WORD + (position + np.arange(rows)[:, None]) % _WORDS
    return np.where(inside, words, 0).astype(np.int32)
