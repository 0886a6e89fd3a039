"""The body of an HTTP request, never larger than the limit."""

import zlib

from starlette.requests import ClientDisconnect, Request

from adapters_tf.export.server.status import Code, ServingError, invalid, too_large

# A client still sends when its answer is known. Were it cut off at once, it would
# see a broken connection and not the answer; so this much more is read and thrown
# away.
_DISCARD_BYTES = 1 << 28


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read a request's body; gzip is unpacked, as TensorFlow Serving does.

    Args:
        request: The request.
        max_bytes: The most bytes, packed and unpacked.

    Raises:
        ServingError: It is larger, or no gzip though it says so, or the client
            went away.
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
                body += chunk
            elif size > max_bytes + _DISCARD_BYTES:
                break
    except ClientDisconnect:
        raise ServingError(Code.CANCELLED, "The client went away.") from None
    if over:
        raise _over(max_bytes)
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
        raise _over(max_bytes)
    if not unpacker.eof:
        raise invalid("The body is not gzip: it ends early.")
    return unpacked


def _over(max_bytes: int) -> ServingError:
    return too_large(
        f"A request may have at most {max_bytes} bytes. Send its rows in several."
    )
