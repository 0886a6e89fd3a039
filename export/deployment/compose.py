"""A docker compose file for the stock TensorFlow Serving image."""

import json

# The same minor version as this package's TensorFlow: a server knows every op
# of the TensorFlow it was built with, an older one may not.
SERVING_IMAGE = "tensorflow/serving:2.20.0"
GRPC_PORT = 8500
REST_PORT = 8501
POLL_SECONDS = 10
# What the entry point of the image adds: --port, --rest_api_port, and a model
# name and path that --model_config_file makes it ignore.
SERVER_FLAGS = (
    "--model_config_file=/config/models.config",
    "--enable_batching",
    "--batching_parameters_file=/config/batching.config",
    "--monitoring_config_file=/config/monitoring.config",
    f"--file_system_poll_wait_seconds={POLL_SECONDS}",
)


def container_path(model_name: str) -> str:
    """Where the container sees the servable."""
    return f"/models/{model_name}"


def health_command(model_name: str, port: int = REST_PORT) -> str:
    """A bash command that succeeds where a version of the model is served.

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
    """The text of `docker-compose.yml`.

    Args:
        model_name: As in `models.config`.
        servable_dir: The servable's absolute path on the host.
    """
    flags = "\n".join(f"      - {flag}" for flag in SERVER_FLAGS)
    # A string of JSON is one of YAML; compose reads $$ as a dollar sign.
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
