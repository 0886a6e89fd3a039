"""Settings of the local server, and a check of the packages that it needs."""

import dataclasses
import importlib.util
import math
import os
import re

from adapters_tf.errors import UserError, check_counts
from adapters_tf.export.serving_protos import serving_proto

EXTRA = ("grpc", "prometheus_client", "starlette", "uvicorn")


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Settings of a `LocalServer`.

    Args:
        servable: Directory with a folder for each version, named by an integer.
        model_name: The model's name for clients; by default the directory's.
        host: The address to listen on. By default, only this machine can connect.
        port: Port of the REST API; 0 for any free one.
        grpc_port: Port of gRPC; 0 for any free one.
        max_batch_rows: Maximum rows of a batch of merged requests.
        batch_timeout_ms: Milliseconds that a request waits for others to join it.
        batch_threads: Batches that run at once.
        max_rows: Maximum rows of a request.
        max_request_mb: Maximum megabytes of a request.
        max_pending: Maximum requests that wait or run; others get UNAVAILABLE.
        max_wait: Seconds. A request that has waited longer than this for its batch to
            run gets UNAVAILABLE, and so do others that come meanwhile.
        request_timeout: Seconds after which the answer to a request is
            DEADLINE_EXCEEDED; a gRPC client may ask for less.
        poll_seconds: Seconds between two checks for a new version.
        grace_seconds: Seconds that requests may take to finish on shutdown.

    Raises:
        UserError: if a value is out of range.
    """

    servable: str
    model_name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int = 8500
    max_batch_rows: int = 16
    batch_timeout_ms: float = 2.0
    batch_threads: int = 2
    max_rows: int = 1024
    max_request_mb: float = 16.0
    max_pending: int = 256
    max_wait: float = 2.0
    request_timeout: float = 30.0
    poll_seconds: float = 1.0
    grace_seconds: float = 30.0

    def __post_init__(self) -> None:
        check_counts(self, "max_batch_rows", "batch_threads", "max_rows", "max_pending")
        for name in ("max_request_mb", "max_wait", "request_timeout", "poll_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"{name} must be above 0. Received: {value}")
        if self.max_request_mb > 1024:
            raise UserError(
                f"max_request_mb must be at most 1024. Received: {self.max_request_mb}"
            )
        for name in ("batch_timeout_ms", "grace_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be 0 or more. Received: {value}")
        for name in ("port", "grpc_port"):
            if not 0 <= getattr(self, name) < 65536:
                raise UserError(
                    f"{name} must be from 0 to 65535. Received: {getattr(self, name)}"
                )
        if self.port == self.grpc_port != 0:
            raise UserError(
                f"port and grpc_port must differ. Received: {self.port} for both"
            )
        if not re.fullmatch(r"[^/:\s]+", self.name):
            raise UserError(
                "model_name must have no slash, colon or space, as it is part of a "
                f"URL. Received: {self.name!r}"
            )

    @property
    def name(self) -> str:
        """The model's name."""
        if self.model_name is not None:
            return self.model_name
        return os.path.basename(os.path.realpath(self.servable))

    @property
    def max_request_bytes(self) -> int:
        """Bytes of one request."""
        return int(self.max_request_mb * 1024 * 1024)


def check_installed() -> None:
    """Check that the packages of the server are installed.

    Raises:
        UserError: if one is missing or cannot be imported; names the command that
            installs it.
    """
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"The local server needs {', '.join(missing)}, which is not installed. "
            'Run: pip install "adapters-tf[serve]"'
        )
    serving_proto("apis.prediction_service_pb2_grpc")
    serving_proto("apis.model_service_pb2_grpc")
