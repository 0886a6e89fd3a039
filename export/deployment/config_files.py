"""Texts of a deployment's files: the server's settings, compose file and README.

The three settings files are text protos that `tensorflow_model_server` reads. The
`check_*` functions parse them with the server's own protos.
"""

import dataclasses
import json
import re
import shlex
from typing import Any

from google.protobuf import text_format

from adapters_tf.errors import UserError
from adapters_tf.export.serving_protos import (
    BatchingParameters,
    MonitoringConfig,
    serving_proto,
)

DEFAULT_MODEL_NAME = "adapters"
METRICS_PATH = "/monitoring/prometheus/metrics"
# The minor version of this package's TensorFlow. A server knows every op of the
# TensorFlow that it was built with; an older server may lack some.
SERVING_IMAGE = "tensorflow/serving:2.20.0"
GRPC_PORT = 8500
REST_PORT = 8501
POLL_SECONDS = 10
# The entry point of the image adds --port, --rest_api_port, and a model name and path,
# which --model_config_file overrides.
SERVER_FLAGS = (
    "--model_config_file=/config/models.config",
    "--enable_batching",
    "--batching_parameters_file=/config/batching.config",
    "--monitoring_config_file=/config/monitoring.config",
    f"--file_system_poll_wait_seconds={POLL_SECONDS}",
)


@dataclasses.dataclass(frozen=True)
class BatchingSettings:
    """How TensorFlow Serving joins requests into batches.

    Attributes:
        max_batch_size: Maximum rows of a batch, and so of a request.
        batch_timeout_micros: Microseconds that a request waits for others.
        max_enqueued_batches: Batches that can wait for a thread; the server rejects
            further requests as unavailable.
        num_batch_threads: Batches that run at the same time: use the number of the
            server's CPU cores, or one or two for each GPU.

    Raises:
        UserError: if a value is out of range.
    """

    max_batch_size: int = 64
    batch_timeout_micros: int = 1000
    max_enqueued_batches: int = 100
    num_batch_threads: int = 4

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "batch_timeout_micros" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(
                    f"{field.name} must be an integer of at least {least}. Received: "
                    f"{field.name}={value!r}"
                )

    @property
    def allowed_batch_sizes(self) -> tuple[int, ...]:
        """The sizes that the server pads batches to; the last is `max_batch_size`.

        There are two for each power of two, so that less than a third of a batch is
        padding.
        """
        sizes = {self.max_batch_size}
        power = 1
        while power < self.max_batch_size:
            sizes.add(power)
            if power > 1 and power * 3 // 2 < self.max_batch_size:
                sizes.add(power * 3 // 2)
            power *= 2
        return tuple(sorted(sizes))


def check_model_name(model_name: str) -> None:
    """Reject a name that cannot be part of a URL.

    Raises:
        UserError: if it has characters other than letters, digits and `_`, `-`, `.`.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", model_name):
        raise UserError(
            "model_name must be of letters, digits, '_', '-' and '.', and begin with "
            f"a letter or a digit. Received: model_name={model_name!r}"
        )


def models_config(model_name: str, base_path: str) -> str:
    """Return the text of `models.config`: one model, its newest version.

    Args:
        model_name: The name in the requests of clients.
        base_path: The servable's directory on the server's file system.
    """
    check_model_name(model_name)
    return f"""\
# ModelServerConfig, for --model_config_file.
model_config_list {{
  config {{
    name: {json.dumps(model_name)}
    base_path: {_quoted(base_path)}
    model_platform: "tensorflow"
    # The newest version only. The next one is loaded and warmed up before
    # this one goes, so both are in memory for that time. To hold on to a
    # version, or to go back to it, name it instead: specific {{ versions: 1 }}
    model_version_policy {{
      latest {{
        num_versions: 1
      }}
    }}
  }}
}}
"""


def batching_config(settings: BatchingSettings) -> str:
    """Return the text of `batching.config`."""
    sizes = "\n".join(f"allowed_batch_sizes: {n}" for n in settings.allowed_batch_sizes)
    return f"""\
# BatchingParameters, for --batching_parameters_file. Only requests to the same
# signature share a batch; mixed_text is the one that takes rows of any task.

# Rows of one batch. A request of more rows is refused: send several.
max_batch_size {{ value: {settings.max_batch_size} }}
# How long a request waits for others; under load batches fill sooner.
batch_timeout_micros {{ value: {settings.batch_timeout_micros} }}
# Beyond these, requests are refused as unavailable and do not pile up.
max_enqueued_batches {{ value: {settings.max_enqueued_batches} }}
# The CPU cores of the machine, or one or two for each GPU.
num_batch_threads {{ value: {settings.num_batch_threads} }}
# Batches are filled up to one of these with copies of a row.
# The last must equal max_batch_size.
{sizes}

# Never true. The server pads an input with the tensor's FIRST element, which
# in an input_mask is 1: padding would be read as words, and every answer that
# shares the batch changes. Strings need no padding. Clients that send tokens
# pad to one fixed length, with a mask of 0: requests of different lengths
# that meet in a batch all fail.
pad_variable_length_inputs: false
"""


def monitoring_config() -> str:
    """Return the text of `monitoring.config`: Prometheus metrics on the REST port."""
    return f"""\
# MonitoringConfig, for --monitoring_config_file.
prometheus_config {{
  enable: true
  path: {json.dumps(METRICS_PATH)}
}}
"""


def check_models_config(text: str) -> Any:
    """Parse `models.config` with the server's own proto.

    Returns:
        The `ModelServerConfig`.

    Raises:
        UserError: if it does not parse, or names a model twice or none.
    """
    proto = serving_proto("config.model_server_config_pb2").ModelServerConfig
    config = _parse(text, proto, "models.config")
    names = [model.name for model in config.model_config_list.config]
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"models.config must name at least one model, each once. Received: {names}"
        )
    return config


def check_batching_config(text: str) -> Any:
    """Parse `batching.config`, and check its sizes and that it does not pad.

    Returns:
        The `BatchingParameters`.

    Raises:
        UserError: if it does not parse, its sizes do not rise to
            `max_batch_size`, or it asks for padding.
    """
    config = _parse(text, BatchingParameters, "batching.config")
    sizes = list(config.allowed_batch_sizes)
    if sizes and (
        sizes != sorted(set(sizes)) or sizes[-1] != config.max_batch_size.value
    ):
        raise UserError(
            "allowed_batch_sizes must rise, and end with max_batch_size. Received: "
            f"{sizes} and max_batch_size {config.max_batch_size.value}"
        )
    if config.pad_variable_length_inputs:
        raise UserError(
            "pad_variable_length_inputs must be false: the server pads an input mask "
            "with its first element, 1. Received: true. Let clients pad tokens to one "
            "fixed length."
        )
    return config


def check_monitoring_config(text: str) -> Any:
    """Parse `monitoring.config`.

    Returns:
        The `MonitoringConfig`.

    Raises:
        UserError: if it does not parse.
    """
    return _parse(text, MonitoringConfig, "monitoring.config")


def _quoted(text: str) -> str:
    """Quote a string for a text proto; keep non-ASCII characters."""
    return json.dumps(text, ensure_ascii=False)


def _parse(text: str, proto: type[Any], name: str) -> Any:
    try:
        return text_format.Parse(text, proto())
    except text_format.ParseError as error:
        raise UserError(
            f"{name} must be a text proto of {proto.DESCRIPTOR.full_name}. Received: "
            f"{error}"
        ) from error


# === Docker ===


def container_path(model_name: str) -> str:
    """Return the servable's path inside the container."""
    return f"/models/{model_name}"


def health_command(model_name: str, port: int = REST_PORT) -> str:
    """Return a bash command that succeeds if a version of the model is in service.

    The image has neither curl nor Python, but bash can open a socket.
    """
    request = (
        f"GET /v1/models/{model_name} HTTP/1.1\\r\\n"
        "Host: localhost\\r\\nConnection: close\\r\\n\\r\\n"
    )
    return (
        f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf '{request}' >&3 && "
        "grep -q '\"AVAILABLE\"' <&3"
    )


def docker_compose(model_name: str, servable_dir: str) -> str:
    """Return the text of `docker-compose.yml`.

    Args:
        model_name: The name in `models.config`.
        servable_dir: The servable's absolute path on the host.
    """
    flags = "\n".join(f"      - {flag}" for flag in SERVER_FLAGS)
    # A JSON string is a valid YAML string; compose reads $$ as a dollar sign.
    source = json.dumps(servable_dir).replace("$", "$$")
    check = json.dumps(["CMD", "bash", "-c", health_command(model_name)])
    return f"""\
# The stock TensorFlow Serving image on the servable: docker compose up -d --wait
services:
  serving:
    image: {SERVING_IMAGE}
    # The image is built for x86-64 only.
    platform: linux/amd64
    restart: unless-stopped
    ports:
      # TensorFlow Serving lets everybody in who reaches it: leave 127.0.0.1
      # out only behind something that does not.
      - "127.0.0.1:{GRPC_PORT}:{GRPC_PORT}" # gRPC
      - "127.0.0.1:{REST_PORT}:{REST_PORT}" # REST and metrics
    volumes:
      - type: bind
        source: {source}
        target: {container_path(model_name)}
        read_only: true
      - type: bind
        source: .
        target: /config
        read_only: true
    command:
{flags}
    healthcheck:
      # The image has neither curl nor Python.
      test: {check}
      interval: 10s
      timeout: 5s
      retries: 3
      # Loading ends with the warm-up requests of every signature.
      start_period: 600s
"""


def commands_text(
    model_name: str, servable_dir: str, rows: list[dict[str, str]]
) -> str:
    """Return the text of `README.md`.

    Args:
        model_name: The name in `models.config`.
        servable_dir: The servable's absolute path on the host.
        rows: Rows of the mixed signature for the example with curl.
    """
    body = json.dumps({"signature_name": "mixed_text", "instances": rows[:1]})
    mount = f"type=bind,source={servable_dir},target={container_path(model_name)}"
    flags = " \\\n    ".join(SERVER_FLAGS)
    url = f"http://localhost:{REST_PORT}"
    return f"""\
# Serving {model_name} with TensorFlow Serving

Run these in this folder. The servable's path is written in `docker-compose.yml` and
below; change it there when you move the servable.

Start the server, wait until it serves, stop it:

```bash
docker compose up -d --wait
docker compose down
```

The same without compose:

```bash
docker run -d --name {model_name} --platform linux/amd64 \\
    -p 127.0.0.1:{GRPC_PORT}:{GRPC_PORT} -p 127.0.0.1:{REST_PORT}:{REST_PORT} \\
    --mount {shlex.quote(mount + ",readonly")} \\
    --mount "type=bind,source=$PWD,target=/config,readonly" \\
    {SERVING_IMAGE} \\
    {flags}
```

Which versions are served, which signatures they have, the metrics:

```bash
curl -s {url}/v1/models/{model_name}
curl -s {url}/v1/models/{model_name}/metadata
curl -s {url}{METRICS_PATH}
```

Ask it:

```bash
curl -s {url}/v1/models/{model_name}:predict -d {shlex.quote(body)}
python client_rest.py
python client_grpc.py
```

The gRPC client needs `pip install grpcio tensorflow-serving-api`.

A version that is added to the servable is loaded within seconds, and the one before it
unloaded. To go back to version N, put `specific {{ versions: N }}` for the policy in
`models.config`, then `docker compose restart`.
"""
