"""A request from its signature's name to its outputs, for both protocols."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from adapters_tf.export.server.batcher import Batcher, Call
from adapters_tf.export.server.options import ServerOptions
from adapters_tf.export.server.signature import Signature
from adapters_tf.export.server.status import Code, ServingError, invalid, timed_out
from adapters_tf.export.server.versions import Lease, Versions, VersionStatus

DEFAULT_SIGNATURE = "serving_default"


class Service:
    """What the gRPC and REST fronts share.

    Args:
        options: The server's settings.
        versions: The versions to serve.
        batcher: Runs the requests.
    """

    def __init__(
        self, options: ServerOptions, versions: Versions, batcher: Batcher
    ) -> None:
        self.options = options
        self.versions = versions
        self._batcher = batcher
        self._pending = 0
        self._lock = threading.Lock()

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request for as long as it lasts.

        Raises:
            ServingError: There are too many.
        """
        with self._lock:
            if self._pending >= self.options.max_pending:
                raise ServingError(
                    Code.UNAVAILABLE,
                    f"{self._pending} requests wait or run, the most that this "
                    "server takes. Try again later.",
                )
            self._pending += 1
        try:
            yield
        finally:
            with self._lock:
                self._pending -= 1

    def deadline(self, seconds: float | None = None) -> float:
        """The deadline of a request that comes now, by `time.monotonic`.

        Args:
            seconds: What the client allows, if it says.
        """
        limit = self.options.request_timeout
        return time.monotonic() + (limit if seconds is None else min(limit, seconds))

    def lease(self, name: str, version: int | None, label: str | None) -> Lease:
        """The version that a request is for.

        Args:
            name: The model's name.
            version: A version number, or None for the latest.
            label: A version's label, or None.

        Raises:
            ServingError: There is no such model or version. Labels are given by a
                config file of TensorFlow Serving, so that here none is known.
        """
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if label:
            raise invalid(f"Unrecognized servable version label: {label}")
        if name != self.options.name:
            wanted = (
                f"Latest({name})" if version is None else f"Specific({name}, {version})"
            )
            raise ServingError(
                Code.NOT_FOUND, f"Servable not found for request: {wanted}"
            )
        return self.versions.acquire(version)

    def statuses(self, name: str, version: int | None) -> list[VersionStatus]:
        """The states of one version, or of all.

        Raises:
            ServingError: There is no such model or version.
        """
        known = self.versions.statuses() if name == self.options.name else []
        if version is not None:
            known = [status for status in known if status.version == version]
        if known:
            return known
        wanted = "any versions" if version is None else f"version {version}"
        raise ServingError(Code.NOT_FOUND, f"Could not find {wanted} of model {name}")

    def check_rows(self, rows: int) -> None:
        """Refuse a request of too many rows.

        Raises:
            ServingError: It has more than `max_rows`.
        """
        if rows > self.options.max_rows:
            raise invalid(
                f"A request may have at most {self.options.max_rows} rows. Received: "
                f"{rows}. Send them in several requests."
            )

    def predict(
        self,
        lease: Lease,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str],
        deadline: float,
    ) -> dict[str, np.ndarray]:
        """Run a request.

        Args:
            lease: The version to run it on.
            signature: One of that version's.
            inputs: Its inputs, not yet checked.
            output_filter: The outputs wanted; empty for all.
            deadline: By `time.monotonic`.

        Returns:
            The outputs; strings as `bytes` in an object array.

        Raises:
            ServingError: It could not be answered.
            tf.errors.OpError: What the model raised.
        """
        complete = signature.complete(inputs)
        outputs = signature.select(output_filter)
        self.check_rows(max((len(a) for a in complete.values() if a.ndim), default=0))
        model = lease.model

        def not_mergeable() -> None:
            signature.mergeable = False

        call = Call(
            key=(lease.version, id(model), signature.name, outputs),
            run=lambda arrays, limit: model.run(signature, arrays, outputs, limit),
            not_mergeable=not_mergeable,
        )
        # The run may outlast this request, which gives up at its deadline.
        shared = lease.share()
        try:
            future = self._batcher.submit(call, complete, signature.mergeable, deadline)
        except BaseException:
            shared.release()
            raise
        future.add_done_callback(lambda _: shared.release())
        try:
            return future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            future.cancel()
            raise timed_out() from None
