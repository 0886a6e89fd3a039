"""adapters-tf-serve: a local server that speaks TensorFlow Serving's protocols."""

import dataclasses
import logging
import os
import signal
import sys
import time
from typing import Any

from adapters_tf.bin.program import Groups, run
from adapters_tf.errors import UserError
from adapters_tf.export.server.options import ServerOptions

NOTE = (
    "For laptops and tests. The production engine is TensorFlow Serving: "
    "it serves\nthe same directory, over the same gRPC and REST APIs."
)
_DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(ServerOptions)
}


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Serves a directory of SavedModels over TensorFlow Serving's gRPC and REST "
        f"APIs.\n{NOTE}\n"
        "  adapters-tf-serve --servable=S --port=8501 --grpc_port=8500"
    )
    default = _DEFAULTS
    g.group("Servable")
    g.string("servable", None, "directory with a folder for each version")
    g.string("model_name", None, "name in URLs and requests [the directory's]")
    g.number("poll_seconds", default["poll_seconds"], "between looks for a version")
    g.group("Listening")
    g.string("host", default["host"], "address; others let other machines in")
    g.integer("port", default["port"], "of the REST API; 0 for any free one")
    g.integer("grpc_port", default["grpc_port"], "of gRPC; 0 for any free one")
    g.group("Batching")
    g.integer("max_batch_rows", default["max_batch_rows"], "merged requests' rows")
    g.number("batch_timeout_ms", default["batch_timeout_ms"], "wait for others to join")
    g.integer("batch_threads", default["batch_threads"], "batches run at once")
    g.group("Limits")
    g.integer("max_rows", default["max_rows"], "rows of a request")
    g.number("max_request_mb", default["max_request_mb"], "megabytes of a request")
    g.integer("max_pending", default["max_pending"], "requests waiting or running")
    g.number(
        "max_wait",
        default["max_wait"],
        "seconds a request may wait; then it and new ones are refused",
    )
    g.number("request_timeout", default["request_timeout"], "seconds of a request")
    g.number(
        "grace_seconds", default["grace_seconds"], "for requests to end on shutdown"
    )
    return g


def main(flags: Any) -> None:
    """Serve until SIGTERM or SIGINT."""
    if not flags.servable:
        raise UserError("--servable is needed. See --help.")
    options = ServerOptions(**{name: flags[name].value for name in _DEFAULTS})
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING
    )
    logging.getLogger("adapters_tf").setLevel(logging.INFO)
    # Hide notes on the deprecated session loader, which TensorFlow Serving also uses.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Imported here, because --help does not need TensorFlow or the server's packages.
    from adapters_tf.export.server.local_server import LocalServer

    server = LocalServer(options)
    server.start()
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.append(number))
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(
        f"{NOTE}\n{options.name} version {server.version}: "
        f"http://{host}:{server.port}/v1/models/{options.name} and gRPC on "
        f"{host}:{server.grpc_port}",
        flush=True,
    )
    # Wait in short steps: a signal just before a long wait would not end it.
    while not signals:
        time.sleep(0.2)
    # A second signal ends the process at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    print("shutting down: pending requests finish", flush=True)
    if not server.stop():
        print(
            f"requests were cut off after {options.grace_seconds:g} s",
            file=sys.stderr,
            flush=True,
        )
        # Remaining threads would block a normal exit.
        os._exit(1)


def cli() -> None:
    """Entry point of `adapters-tf-serve`."""
    run(define(), main)


if __name__ == "__main__":
    cli()
