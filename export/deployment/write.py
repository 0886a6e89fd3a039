"""Write the folder of files to serve a servable with TensorFlow Serving."""

import functools
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.export.deployment import config_files
from adapters_tf.export.deployment.config_files import (
    DEFAULT_MODEL_NAME,
    BatchingSettings,
    commands_text,
    container_path,
    docker_compose,
)
from adapters_tf.export.deployment.examples import default_examples
from adapters_tf.export.describe import find_versions, read_servable_json
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
    `docker-compose.yml`, `client_rest.py`, `client_grpc.py`, and `README.md` with the
    commands. This function parses the three configurations with the server's protos
    before it writes them. The folder is written atomically.

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
    content = read_servable_json(newest_version(servable))
    models = config_files.models_config(model_name, container_path(model_name))
    batching_text = config_files.batching_config(batching or BatchingSettings())
    monitoring = config_files.monitoring_config()
    config_files.check_models_config(models)
    config_files.check_batching_config(batching_text)
    config_files.check_monitoring_config(monitoring)
    files = {
        MODELS_FILE: models,
        "batching.config": batching_text,
        "monitoring.config": monitoring,
        "docker-compose.yml": docker_compose(model_name, str(servable)),
        "README.md": commands_text(model_name, str(servable), _client_rows(content)),
    }
    for name in _CLIENTS:
        files[name] = _client(name, model_name, _client_rows(content))
    _write(files, path)
    return path


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
