"""Listen on the ports of both protocols."""

import asyncio
import errno
import functools
import math
import socket
import threading
import time
from typing import Any

import grpc
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from adapters_tf.errors import UserError


class _Connection(H11Protocol):
    """A connection that is closed if its client stalls.

    uvicorn waits for ever for the head of a first request, for the rest of a head, and
    for a client that does not read.

    Args:
        seconds: How long a client may take to send the head of a request, and to read
            a part of an answer. The application limits the time of the rest.
        args: As uvicorn's.
        options: As uvicorn's.
    """

    def __init__(self, seconds: float, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seconds = seconds
        self._unread: float = math.inf
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Wait for the head of the first request."""
        super().connection_made(transport)
        self._restart()

    def on_response_complete(self) -> None:
        """Wait until the answer is read, and for the head of the next request."""
        super().on_response_complete()
        self._unread = math.inf
        self._restart()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait."""
        super().connection_lost(exc)
        self._stop()

    def _stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _restart(self) -> None:
        self._stop()
        self._watch = self.loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        unread = self.transport.get_write_buffer_size()
        answering = self.cycle is not None and not self.cycle.response_complete
        if unread < self._unread if unread else answering:
            self._unread = unread or math.inf
            self._restart()
        else:
            # Not `close`, which would wait until the client has read its answer.
            self.transport.abort()


def listen_grpc(server: grpc.Server, host: str, port: int) -> int:
    """Make a gRPC server listen on a port, and return it; port 0 is any free one.

    Raises:
        UserError: if it cannot listen there.
    """
    address = f"[{host}]" if ":" in host else host
    try:
        return server.add_insecure_port(f"{address}:{port}")
    except RuntimeError as error:
        raise _cannot_listen("grpc_port", host, port, "") from error


class HttpListener:
    """An HTTP server on a port, in its own thread.

    Args:
        app: The application.
        host: Address to listen on.
        port: Port, or 0 for a free one.
        seconds: How long a client may take to send the head of a request, and to read
            a part of an answer.

    Attributes:
        port: The port in use.

    Raises:
        UserError: if it cannot listen there.
    """

    def __init__(self, app: Starlette, host: str, port: int, seconds: float) -> None:
        self._socket = _bind(host, port)
        self._host = host
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=functools.partial(_Connection, seconds),  # type: ignore[arg-type]
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
        """Start the server, and return when it answers."""
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
        """Reject new connections; pending requests have `grace` seconds to finish."""
        # uvicorn only passes it to asyncio, which accepts fractions.
        self._server.config.timeout_graceful_shutdown = grace  # type: ignore[assignment]
        self._server.should_exit = True
        if not self._thread.is_alive():
            self._socket.close()

    def join(self, seconds: float) -> bool:
        """Wait for pending requests; return whether all are done."""
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
        # Lets a restarted server reuse the port without waiting for old connections.
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
