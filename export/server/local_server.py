"""The local server: both protocols over the versions of a servable."""

import logging
import time
from pathlib import Path
from types import TracebackType

from adapters_tf.errors import UserError
from adapters_tf.export.server.options import ServerOptions
from adapters_tf.export.server.requirements import check_installed

# Before the imports below fail with an error that names no remedy.
check_installed()

from adapters_tf.export.server.batcher import Batcher  # noqa: E402
from adapters_tf.export.server.fronts import GrpcFront, HttpFront  # noqa: E402
from adapters_tf.export.server.grpc_service import build_grpc_server  # noqa: E402
from adapters_tf.export.server.metrics import Metrics  # noqa: E402
from adapters_tf.export.server.rest_app import RestApi  # noqa: E402
from adapters_tf.export.server.saved_model import SavedModel  # noqa: E402
from adapters_tf.export.server.service import Service  # noqa: E402
from adapters_tf.export.server.versions import (  # noqa: E402
    Versions,
    find_versions,
)
from adapters_tf.export.server.warmup import replay  # noqa: E402

log = logging.getLogger(__name__)


class LocalServer:
    """Serves a directory of SavedModels as TensorFlow Serving would.

    It is meant for laptops and tests; TensorFlow Serving is the production engine.
    Use it as a context manager, or call `start` and `stop`:

    ```python
    with LocalServer(ServerOptions("servable", port=0, grpc_port=0)) as server:
        print(server.port, server.grpc_port)
    ```

    It takes its ports at once and answers after `start`.

    Args:
        options: The settings.

    Attributes:
        port: The port of the REST API.
        grpc_port: The port of gRPC.

    Raises:
        UserError: There is no such directory, no version in it, or a port is taken.
    """

    def __init__(self, options: ServerOptions) -> None:
        _check_directory(Path(options.servable))
        self.options = options
        metrics = Metrics(options.name)
        self._versions = Versions(
            Path(options.servable), options.name, _load, metrics.load
        )
        self._batcher = Batcher(
            options.max_batch_rows,
            options.batch_timeout_ms / 1000,
            options.max_pending,
            options.batch_threads,
            metrics.batch,
        )
        service = Service(options, self._versions, self._batcher)
        self._http = HttpFront(
            RestApi(service, metrics).app(), options.host, options.port
        )
        self.port = self._http.port
        try:
            self._grpc = GrpcFront(
                build_grpc_server(service, metrics), options.host, options.grpc_port
            )
        except UserError:
            self._http.refuse(0)
            raise
        self.grpc_port = self._grpc.port

    @property
    def version(self) -> int | None:
        """The version in service."""
        return self._versions.current

    def start(self) -> None:
        """Load the highest version that can be loaded, and begin to answer.

        Raises:
            UserError: None can.
        """
        try:
            self._versions.poll()
            if self._versions.current is None:
                reasons = [
                    f"version {status.version}: {status.message}"
                    for status in self._versions.statuses()
                ]
                raise UserError(
                    f"{self.options.servable} must have a version that loads. "
                    f"Received: {'; '.join(reasons) or 'none'}"
                )
            self._versions.watch(self.options.poll_seconds)
            self._grpc.start()
            self._http.start()
        except BaseException:
            self.stop(0)
            raise

    def stop(self, grace: float | None = None) -> bool:
        """Refuse new requests, let the pending ones finish, and unload.

        Args:
            grace: Seconds they may take; by default that of the options.

        Returns:
            Whether they all finished.
        """
        grace = self.options.grace_seconds if grace is None else grace
        end = time.monotonic() + grace

        def left() -> float:
            return max(0.0, end - time.monotonic())

        self._grpc.refuse(grace)
        self._http.refuse(grace)
        done = self._grpc.join(left())
        # uvicorn looks for its end ten times a second.
        done &= self._http.join(left() + 0.5)
        done &= self._batcher.close(left() + 0.5)
        self._versions.close(left() + 0.5)
        return done

    def __enter__(self) -> "LocalServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _load(directory: Path) -> SavedModel:
    """Load and warm up a version."""
    model = SavedModel(directory)
    try:
        count = replay(model, directory)
    except BaseException:
        model.release()
        raise
    log.info("%s loaded; %d warm-up requests", directory, count)
    return model


def _check_directory(servable: Path) -> None:
    if not servable.is_dir():
        raise UserError(
            f"servable must be a directory. {str(servable)!r} is "
            f"{'a file' if servable.exists() else 'not there'}."
        )
    if find_versions(servable):
        return
    advice = (
        "It is a version itself: give the directory that holds it."
        if (servable / "saved_model.pb").exists()
        else "Export one there first."
    )
    raise UserError(
        "servable must have versions, folders with an integer for a name. "
        f"{str(servable)!r} has none. {advice}"
    )
