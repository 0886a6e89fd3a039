"""The two listening ends of the local server: ports, threads, and their end."""

import errno
import socket
import threading
import time

import grpc
import uvicorn
from starlette.applications import Starlette

from adapters_tf.errors import UserError


class GrpcFront:
    """A gRPC server on a port.

    Args:
        server: The server, not yet started.
        host: Address to listen on.
        port: Port, or 0 for a free one.

    Attributes:
        port: The port that it has.

    Raises:
        UserError: It cannot listen there.
    """

    def __init__(self, server: grpc.Server, host: str, port: int) -> None:
        self._server = server
        self._stopped: threading.Event | None = None
        address = f"[{host}]" if ":" in host else host
        try:
            self.port = server.add_insecure_port(f"{address}:{port}")
        except RuntimeError as error:
            raise _cannot_listen("grpc_port", host, port, "") from error

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def refuse(self, grace: float) -> None:
        """Refuse new requests; the pending ones have `grace` seconds."""
        self._stopped = self._server.stop(grace)

    def join(self, seconds: float) -> bool:
        """Wait for the pending requests; whether they are all done."""
        return self._stopped is None or self._stopped.wait(seconds)


class HttpFront:
    """An HTTP server on a port, in a thread of its own.

    Args:
        app: The application.
        host: Address to listen on.
        port: Port, or 0 for a free one.

    Attributes:
        port: The port that it has.

    Raises:
        UserError: It cannot listen there.
    """

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._socket = _bind(host, port)
        self._host = host
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            log_level="warning",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run,
            args=([self._socket],),
            name="http",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to answer; returns once it does."""
        try:
            self._socket.listen(2048)
        except OSError as error:
            raise _cannot_listen("port", self._host, self.port, error) from error
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("The HTTP server ended while it started.")
            time.sleep(0.005)

    def refuse(self, grace: float) -> None:
        """Refuse new connections; the pending requests have `grace` seconds."""
        # It is only given to asyncio, which takes fractions.
        self._server.config.timeout_graceful_shutdown = grace  # type: ignore[assignment]
        self._server.should_exit = True
        if not self._thread.is_alive():
            self._socket.close()

    def join(self, seconds: float) -> bool:
        """Wait for the pending requests; whether they are all done."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen("port", host, port, error) from error
    try:
        # A restarted server need not wait for old connections to time out.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _cannot_listen("port", host, port, error) from error
    return bound


def _cannot_listen(flag: str, host: str, port: int, error: object) -> UserError:
    if isinstance(error, OSError) and error.errno != errno.EADDRINUSE:
        return UserError(f"{host}, {flag} {port} cannot be listened on: {error}")
    return UserError(
        f"{flag} must be free. Received: {port}, which another program on {host} uses. "
        f"Give another --{flag}, or 0 for any free one."
    )
