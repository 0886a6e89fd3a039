"""Waiting until all workers of a run are there, or saying in time who is not."""

import socket
import sys
import time
from collections.abc import Sequence

from adapters_tf.errors import TryAgain, UserError

MEET_SECONDS = 600.0
_QUIET_SECONDS = 10.0
_PAUSE = 0.2


def meet_workers(
    addresses: Sequence[str], own: str, seconds: float = MEET_SECONDS
) -> None:
    """Wait until every worker listens at its address.

    TensorFlow itself waits for an hour, deaf to signals and without a word.

    Args:
        addresses: `host:port` of all workers.
        own: Which of them is this process's; it listens there meanwhile.
        seconds: How long to wait.

    Raises:
        UserError: if an address is not `host:port`, or the own port is taken.
        TryAgain: if a worker does not answer in time.
    """
    places = {address: _split(address) for address in addresses}
    missing = [address for address in addresses if address != own]
    start = time.monotonic()
    said = False
    with _listen(own, places[own][1]):
        while True:
            missing = [one for one in missing if not _answers(*places[one])]
            waited = time.monotonic() - start
            if not missing:
                return
            if waited >= seconds:
                raise TryAgain(
                    "All workers of TF_CONFIG must be running, at addresses that "
                    f"reach them. After {seconds:.0f} seconds nobody answers at "
                    f"{', '.join(missing)}. Start the same command on all workers."
                )
            if waited >= _QUIET_SECONDS and not said:
                said = True
                print(f"waiting for {', '.join(missing)}", file=sys.stderr, flush=True)
            time.sleep(_PAUSE)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(
            "The addresses in TF_CONFIG must be host:port. Received: "
            f"{address!r}. Such as: 'host0:2222'"
        )
    return host.strip("[]"), int(port)


def _listen(address: str, port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"This worker's address in TF_CONFIG must be free. Received: {address!r}: "
            f"{error.strerror}"
        ) from error


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
