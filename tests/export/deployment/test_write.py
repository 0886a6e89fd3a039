"""The folder of deployment files, and its clients and health check, run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from adapters_tf.errors import UserError
from adapters_tf.export.deployment import config_files
from adapters_tf.export.deployment import write as write_module
from adapters_tf.export.deployment.write import write_deployment

NAMES = {
    "README.md",
    "batching.config",
    "client_grpc.py",
    "client_rest.py",
    "docker-compose.yml",
    "kubernetes.yaml",
    "models.config",
    "monitoring.config",
    "prometheus-adapter.yaml",
}


def test_docker_compose(servable, tmp_path):
    servable = servable.rename(tmp_path / 'S $HOME "q" é')
    out = write_deployment(servable, tmp_path / "new" / "out", "toy")
    assert {path.name for path in out.iterdir()} == NAMES
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    service = yaml.safe_load((out / "docker-compose.yml").read_text())["services"]
    service = service["serving"]
    assert service["image"] == "tensorflow/serving:2.20.0"
    assert service["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    model, config = service["volumes"]
    assert model["source"].replace("$$", "$") == str(servable)
    assert model["target"] == "/models/toy" and model["read_only"] is True
    assert config == {
        "type": "bind",
        "source": ".",
        "target": "/config",
        "read_only": True,
    }
    assert service["command"] == [
        "--model_config_file=/config/models.config",
        "--enable_batching",
        "--batching_parameters_file=/config/batching.config",
        "--monitoring_config_file=/config/monitoring.config",
        "--file_system_poll_wait_seconds=10",
    ]
    # Each file that a flag names is in the folder that is mounted.
    for flag in service["command"]:
        if "/config/" in flag:
            assert flag.rpartition("/")[2] in NAMES
    assert 'base_path: "/models/toy"' in (out / "models.config").read_text()
    assert all(flag in (out / "README.md").read_text() for flag in service["command"])


def health_check(out, port):
    """The exit status of the compose file's health check, run as docker runs it."""
    service = yaml.safe_load((out / "docker-compose.yml").read_text())["services"]
    kind, *command = service["serving"]["healthcheck"]["test"]
    assert kind == "CMD" and "$" not in command[-1]
    command[-1] = command[-1].replace("/8501 ", f"/{port} ")
    return subprocess.run(command, timeout=30, capture_output=True).returncode


def test_health_check(stand_in, servable, tmp_path):
    out = write_deployment(servable, tmp_path / "out", "toy")
    assert health_check(out, stand_in.rest_port) == 0
    stand_in.rest_server.state = "LOADING"
    try:
        assert health_check(out, stand_in.rest_port) != 0
    finally:
        stand_in.rest_server.state = "AVAILABLE"
    other = write_deployment(servable, tmp_path / "other", "other")
    assert health_check(other, stand_in.rest_port) != 0
    assert health_check(out, 1) != 0


def run_client(script, server, *args):
    """The JSON lines that a client prints, run as it is, away from the checkout."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-P", script, f"--server={server}", *args],
        capture_output=True,
        text=True,
        cwd=script.parent,
        env=environment,
    )
    if result.returncode:
        return result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.slow
def test_clients_as_they_are(stand_in, servable, tmp_path):
    out = write_deployment(servable, tmp_path / "out", "toy")
    by_rest = run_client(out / "client_rest.py", stand_in.rest)
    by_grpc = run_client(out / "client_grpc.py", stand_in.grpc)
    tasks = ["sentiment", "entails", "likeness"]
    assert [row["task"] for row in by_rest] == tasks
    assert [row["status"] for row in by_rest] == ["ok"] * 3
    assert by_rest == by_grpc
    assert len({row["score"] for row in by_rest}) == 3

    args = ("--text=Qué?", "--task=none")
    (row,) = run_client(out / "client_rest.py", stand_in.rest, *args)
    assert row == {
        "text": "Qué?",
        "text_pair": "",
        "task": "none",
        "status": "unknown task",
        "score": 0.0,
    }
    assert run_client(out / "client_grpc.py", stand_in.grpc, *args) == [row]


@pytest.mark.slow
def test_clients_say_what_is_wrong(stand_in, servable, tmp_path):
    out = write_deployment(servable, tmp_path / "out", "other")
    error = run_client(out / "client_rest.py", stand_in.rest)
    assert error.startswith("404 Not Found: {")
    error = run_client(out / "client_rest.py", "http://127.0.0.1:1")
    assert error.startswith("http://127.0.0.1:1 does not answer: ")
    error = run_client(out / "client_grpc.py", stand_in.grpc)
    # After what TensorFlow writes as it is imported.
    assert error.splitlines()[-1] == "NOT_FOUND: Servable not found"


def test_an_existing_folder_is_refused_or_replaced(servable, tmp_path):
    out = write_deployment(servable, tmp_path / "out", "first")
    (out / "extra").write_text("")
    with pytest.raises(UserError, match="overwrite=True"):
        write_deployment(servable, out, "second")
    assert '"first"' in (out / "models.config").read_text()
    write_deployment(servable, out, "second", overwrite=True)
    assert '"second"' in (out / "models.config").read_text()
    assert {path.name for path in out.iterdir()} == NAMES
    assert {path.name for path in tmp_path.iterdir()} == {"S", "out"}


def test_another_folder_is_never_replaced(servable, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="nothing else"):
        write_deployment(servable, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    (tmp_path / "empty").mkdir()
    write_deployment(servable, tmp_path / "empty")


def test_a_failed_write_leaves_what_was_there(servable, tmp_path, monkeypatch):
    out = write_deployment(servable, tmp_path / "out", "first")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_module.os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_deployment(servable, out, "second", overwrite=True)
    with pytest.raises(UserError, match="No space left"):
        write_deployment(servable, tmp_path / "new", "second")
    assert '"first"' in (out / "models.config").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"S", "out"}


def test_a_failed_move_puts_the_old_folder_back(servable, tmp_path, monkeypatch):
    out = write_deployment(servable, tmp_path / "out", "first")
    rename, failed = Path.rename, []

    def fail(self, target):
        if Path(target) == out and not failed:
            failed.append(target)
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(UserError, match="Input/output error"):
        write_deployment(servable, out, "second", overwrite=True)
    assert '"first"' in (out / "models.config").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"S", "out"}


def test_a_folder_without_versions_is_no_servable(servable, tmp_path):
    with pytest.raises(UserError, match="has none"):
        write_deployment(servable / "1", tmp_path / "out")
    with pytest.raises(UserError, match="has none"):
        write_deployment(tmp_path / "missing", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_newest_version_is_the_largest_number(servable):
    (servable / "9").mkdir()
    (servable / "10").mkdir()
    (servable / "11.tmp").mkdir()
    assert write_module.newest_version(servable).name == "10"


def test_the_image_has_the_minor_version_of_our_tensorflow():
    import tensorflow as tf

    tag = config_files.SERVING_IMAGE.partition(":")[2]
    assert tag.split(".")[:2] == tf.__version__.split(".")[:2]
