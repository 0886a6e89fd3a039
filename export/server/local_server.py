"""The local server: both protocols over the versions of a servable."""

import functools
import logging
import os
import time
from pathlib import Path
from types import TracebackType

from adapters_tf.errors import UserError
from adapters_tf.export.server.options import ServerOptions, check_installed

# Check first: the imports below would fail without naming a remedy.
check_installed()

from adapters_tf.export.describe import find_versions  # noqa: E402
from adapters_tf.export.server.batcher import Batcher  # noqa: E402
from adapters_tf.export.server.errors import (  # noqa: E402
    Code,
    ServingError,
    as_serving_error,
)
from adapters_tf.export.server.grpc_service import (  # noqa: E402
    build_grpc_server,
    to_arrays,
)
from adapters_tf.export.server.listen import (  # noqa: E402
    HttpListener,
    listen_grpc,
)
from adapters_tf.export.server.metrics import Metrics  # noqa: E402
from adapters_tf.export.server.rest_api import RestApi  # noqa: E402
from adapters_tf.export.server.service import (  # noqa: E402
    Service,
    complete_inputs,
    find_signature,
    select_outputs,
)
from adapters_tf.export.server.versions import Versions  # noqa: E402
from adapters_tf.export.session import (  # noqa: E402
    DEFAULT_SIGNATURE,
    ServingSession,
)
from adapters_tf.export.warmup import (  # noqa: E402
    MAX_RECORDS,
    WARMUP_FILE,
    warmup_requests,
)

# Bytes of a warm-up request's inputs.
_MAX_WARMUP_BYTES = 1 << 30
log = logging.getLogger(__name__)


class LocalServer:
    """Serves a directory of SavedModels as TensorFlow Serving does.

    For laptops and tests; in production, use TensorFlow Serving. Use it as a context
    manager, or call `start` and `stop`:

    ```python
    with LocalServer(ServerOptions("servable", port=0, grpc_port=0)) as server:
        print(server.port, server.grpc_port)
    ```

    The constructor takes the ports; the server answers after `start`.

    Args:
        options: The settings.

    Attributes:
        port: The port of the REST API.
        grpc_port: The port of gRPC.

    Raises:
        UserError: if there is no such directory, no version in it, or a port is taken.
    """

    def __init__(self, options: ServerOptions) -> None:
        _check_directory(Path(options.servable))
        self.options = options
        metrics = Metrics(options.name)
        self._versions = Versions(
            Path(options.servable),
            options.name,
            functools.partial(_load, threads=_threads_of_a_batch(options)),
            metrics.load,
        )
        self._batcher = Batcher(
            options.max_batch_rows,
            options.batch_timeout_ms / 1000,
            options.max_pending,
            options.batch_threads,
            metrics.batch,
            options.max_request_bytes,
            options.max_wait,
        )
        service = Service(options, self._versions, self._batcher)
        self._http = HttpListener(
            RestApi(service, metrics).app(),
            options.host,
            options.port,
            options.request_timeout,
        )
        self.port = self._http.port
        try:
            self._grpc = build_grpc_server(service, metrics)
            self.grpc_port = listen_grpc(self._grpc, options.host, options.grpc_port)
        except UserError:
            self._http.refuse(0)
            raise

    @property
    def version(self) -> int | None:
        """The version in service."""
        return self._versions.current

    def start(self) -> None:
        """Load the highest version that can be loaded, and begin to answer.

        Raises:
            UserError: if no version can be loaded.
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
        """Reject new requests, let the pending ones finish, and unload.

        Args:
            grace: Seconds that they may take; by default the options' value.

        Returns:
            Whether they all finished.
        """
        grace = self.options.grace_seconds if grace is None else grace
        end = time.monotonic() + grace

        def left() -> float:
            return max(0.0, end - time.monotonic())

        grpc_stopped = self._grpc.stop(grace)
        self._http.refuse(grace)
        done = grpc_stopped.wait(left())
        # uvicorn checks for shutdown ten times per second.
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


def _threads_of_a_batch(options: ServerOptions) -> int:
    """Each batch's share of the cores.

    Batches that run at once and each take all cores wait for one another: with two on
    two cores, a row then takes 1.4 times as long.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, cores // options.batch_threads)


def _load(directory: Path, threads: int) -> ServingSession:
    """Load a version and run its warm-up requests."""
    session = ServingSession(directory, threads)
    try:
        count = _warm_up(session, directory / WARMUP_FILE)
    except BaseException:
        session.close()
        raise
    log.info("%s loaded; %d warm-up requests", directory, count)
    return session


def _warm_up(session: ServingSession, path: Path) -> int:
    """Run the warm-up requests of a file, if it exists; return their number.

    Raises:
        ServingError: if a request failed, or there are more than TensorFlow Serving
            accepts.
        tf.errors.OpError: if the file is damaged, or holds other requests.
    """
    count = 0
    if not path.is_file():
        return count
    for request in warmup_requests(path):
        count += 1
        if count > MAX_RECORDS:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"Number of warm-up records exceeds the maximum ({MAX_RECORDS}).",
            )
        try:
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = find_signature(session, name)
            inputs = to_arrays(request.inputs, _MAX_WARMUP_BYTES)
            inputs = complete_inputs(name, signature, inputs)
            select_outputs(signature, list(request.output_filter))
            # As `Service.predict`: this is the graph to prepare.
            session.compute(signature, inputs, tuple(signature.outputs))
        except Exception as error:
            failure = as_serving_error(error)
            raise ServingError(
                failure.code, f"Warm-up request {count} failed: {failure.message}"
            ) from error
    return count


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
