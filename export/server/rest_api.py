"""TensorFlow Serving's REST API, as an ASGI application."""

import re
import time
import zlib
from collections.abc import Callable
from urllib.parse import unquote

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from adapters_tf.export.describe import MAX_VERSION
from adapters_tf.export.server.errors import (
    Code,
    ServingError,
    as_serving_error,
    invalid,
    timed_out,
    too_large,
)
from adapters_tf.export.server.grpc_service import (
    model_metadata,
    model_status,
)
from adapters_tf.export.server.metrics import Metrics
from adapters_tf.export.server.rest_json import (
    error_body,
    metadata_body,
    parse_body,
    predictions_body,
    read_inputs,
    status_body,
)
from adapters_tf.export.server.service import Service, check_method
from adapters_tf.export.session import DEFAULT_SIGNATURE

_MODEL = r"/v1/models/(?P<name>[^/:]+)"
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"{_MODEL}{_VERSION}:(?P<method>classify|regress|predict)", re.I)
_GET = re.compile(rf"{_MODEL}{_VERSION}(?P<metadata>/metadata)?", re.I)
# A client still sends when the server rejects its too large body. If the server closed
# the connection at once, the client would not see the answer. So the server reads and
# discards up to this many more bytes.
_DISCARD_BYTES = 1 << 28


class RestApi:
    """The handlers of the REST API.

    Args:
        service: Answers the requests.
        metrics: Counts them.
    """

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._limiter: CapacityLimiter | None = None
        # Bytes of bodies that are not complete yet.
        self._held = 0

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/healthz", self._health),
            Route("/metrics", self._metrics_page),
            Route("/monitoring/prometheus/metrics", self._metrics_page),
            # One route for all methods, so that other requests get TensorFlow Serving's
            # "Malformed request" instead of a 404 or 405.
            Route("/{path:path}", _AnyMethod(self._api)),
        ]
        return Starlette(routes=routes)

    async def _health(self, request: Request) -> Response:
        version = self._service.versions.current
        if version is None:
            return JSONResponse({"status": "no version"}, 503)
        return JSONResponse({"status": "ok", "version": version})

    async def _metrics_page(self, request: Request) -> Response:
        return Response(self._metrics.page(), media_type="text/plain; version=0.0.4")

    async def _api(self, request: Request) -> Response:
        try:
            body = await self._answer(request)
        except Exception as error:
            failure = as_serving_error(error)
            return Response(
                error_body(failure.message),
                failure.http_status,
                _headers(failure, getattr(request.state, "body_read", False)),
            )
        return Response(body, media_type="application/json")

    async def _answer(self, request: Request) -> bytes:
        # Use the raw path: a model's name can contain a slash, as %2F.
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        pattern = {"POST": _POST, "GET": _GET}.get(request.method)
        if not path.lower().startswith("/v1/"):
            raise ServingError(Code.NOT_FOUND, f"Not found: {path}")
        match = pattern and pattern.fullmatch(path)
        if not match:
            if request.method == "GET" and path.lower().rstrip("/") == "/v1/models":
                raise invalid("Missing model name in request.")
            raise invalid(f"Malformed request: {request.method} {path}")
        parts = match.groupdict()
        name = unquote(parts["name"])
        version = None if parts["version"] is None else _version(parts["version"])
        label = parts["label"] and unquote(parts["label"])
        if request.method == "GET":
            if parts["metadata"]:
                return await self._in_thread(
                    lambda: metadata_body(
                        model_metadata(self._service, name, version, label)
                    )
                )
            return await self._in_thread(
                lambda: status_body(model_status(self._service, name, version))
            )
        method = parts["method"].lower()
        if method != "predict":
            raise ServingError(
                Code.UNIMPLEMENTED,
                f"The local server does not implement {method}; use predict.",
            )
        deadline = self._service.deadline()
        with self._metrics.request("REST"):
            # First the body: a client that sends it slowly takes no other's place.
            body = await self._read(request, deadline)
            request.state.body_read = True
            with self._service.admit():
                return await self._in_thread(
                    lambda: self._predict(name, version, label, body, deadline)
                )

    async def _read(self, request: Request, deadline: float) -> bytes:
        """Read the body; slow clients run into the deadline."""
        options = self._service.options
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._held + size > options.max_pending * options.max_request_bytes:
                raise ServingError(
                    Code.UNAVAILABLE,
                    "Too many requests send their bodies. Try again later.",
                )
            held += size
            self._held += size

        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                return await read_body(request, options.max_request_bytes, hold)
        except TimeoutError:
            raise timed_out() from None
        finally:
            self._held -= held

    async def _in_thread(self, method: Callable[[], bytes]) -> bytes:
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._service.options.max_pending + 8)
        return await to_thread.run_sync(method, limiter=self._limiter)

    def _predict(
        self,
        name: str,
        version: int | None,
        label: str | None,
        body: bytes,
        deadline: float,
    ) -> bytes:
        document = parse_body(body)
        with self._service.version(name, version, label) as loaded:
            key = document.get("signature_name") or DEFAULT_SIGNATURE
            signature = loaded.session.entries.get(key)
            if signature is None:
                raise invalid(
                    f'Serving signature name: "{key}" not found in signature def'
                )
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {key}")
            check_method(signature)
            inputs, in_rows = read_inputs(document, signature.inputs)
            outputs = self._service.predict(loaded, key, inputs, (), deadline)
        return predictions_body(outputs, in_rows)


class _AnyMethod:
    """An endpoint that Starlette does not limit to GET."""

    def __init__(self, handler: Callable) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handler(Request(scope, receive))
        await response(scope, receive, send)


def _version(digits: str) -> int:
    """Return the version in a path.

    Raises:
        ServingError: if it is no int64.
    """
    # Python refuses to convert thousands of digits.
    digits = digits.lstrip("0") or "0"
    if len(digits) > len(str(MAX_VERSION)) or int(digits) > MAX_VERSION:
        shown = digits if len(digits) <= 100 else f"{digits[:100]}..."
        raise invalid(f"Failed to convert version: {shown} to numeric.")
    return int(digits)


def _headers(failure: ServingError, body_read: bool) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    if failure.http_status in (413, 503, 504) and not body_read:
        # The server does not read the rest. Otherwise the connection stays: to open
        # another one for each request that is refused costs a busy server more.
        headers["connection"] = "close"
    return headers


async def read_body(
    request: Request, max_bytes: int, hold: Callable[[int], None]
) -> bytes:
    """Read a request's body, and unpack gzip as TensorFlow Serving does.

    Args:
        request: The request.
        max_bytes: Maximum bytes, both packed and unpacked.
        hold: Called with the bytes of each part before it is kept; may raise.

    Raises:
        ServingError: if it is larger or invalid gzip, or the client disconnected.
    """
    declared = request.headers.get("content-length", "")
    over = declared.isascii() and declared.isdigit() and int(declared) > max_bytes
    body = bytearray()
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            over = over or size > max_bytes
            if not over:
                hold(len(chunk))
                body += chunk
            elif size > max_bytes + _DISCARD_BYTES:
                break
    except ClientDisconnect:
        raise ServingError(Code.CANCELLED, "The client went away.") from None
    if over:
        raise _over_limit(max_bytes)
    if request.headers.get("content-encoding", "").lower() == "gzip":
        return _unpack(bytes(body), max_bytes)
    return bytes(body)


def _unpack(body: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise invalid(f"The body is not gzip: {error}") from error
    if len(unpacked) > max_bytes:
        raise _over_limit(max_bytes)
    if not unpacker.eof:
        raise invalid("The body is not gzip: it ends early.")
    return unpacked


def _over_limit(max_bytes: int) -> ServingError:
    return too_large(
        f"A request may have at most {max_bytes} bytes. Send its rows in several."
    )
