"""Request errors: gRPC's codes and TensorFlow Serving's HTTP status for each."""

import enum

import tensorflow as tf


class Code(enum.IntEnum):
    """The canonical codes, with the numbers that gRPC and TensorFlow use."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# As in TensorFlow Serving's http_server.cc; any other code is 500.
HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


# Bytes of an error's text. gRPC sends it in a header, up to three times as long, and
# its clients accept 8 KB of headers.
_MAX_MESSAGE = 2000


class ServingError(Exception):
    """An error to return to a client.

    Args:
        code: The canonical code, for gRPC clients.
        message: A text for the client; a long one is cut, as it may quote a request.
        http_status: The status for HTTP clients; by default TensorFlow Serving's status
            for the code.
    """

    def __init__(self, code: Code, message: str, http_status: int | None = None):
        super().__init__(message)
        self.code = code
        # JSON can hold half of a surrogate pair, which UTF-8 cannot.
        text = message.encode("utf-8", "backslashreplace")
        self.message = text[:_MAX_MESSAGE].decode("utf-8", "ignore")
        if len(text) > _MAX_MESSAGE:
            self.message += "..."
        self.http_status = http_status or HTTP_STATUS.get(code, 500)


def invalid(message: str) -> ServingError:
    """Return an `INVALID_ARGUMENT` error."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def too_large(message: str) -> ServingError:
    """Return the error for a too large request: `RESOURCE_EXHAUSTED` or HTTP 413."""
    return ServingError(Code.RESOURCE_EXHAUSTED, message, http_status=413)


def timed_out() -> ServingError:
    """Return the error for a request after its deadline."""
    return ServingError(
        Code.DEADLINE_EXCEEDED, "The request's deadline passed before its answer."
    )


def as_serving_error(error: BaseException) -> ServingError:
    """Convert any error to the error that the client sees.

    TensorFlow's own errors keep their code; any other error is `INTERNAL`.
    """
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return ServingError(Code(error.error_code), error.message)
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
