"""Answering requests: the part that the gRPC and the REST API share."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from adapters_tf.export.server.batcher import Batcher, Call
from adapters_tf.export.server.errors import Code, ServingError, invalid, timed_out
from adapters_tf.export.server.options import ServerOptions
from adapters_tf.export.server.versions import LoadedVersion, Versions, VersionStatus
from adapters_tf.export.session import ServingSession, Signature, TensorInfo

_METHOD_NAMES = tuple(
    f"tensorflow/serving/{kind}" for kind in ("predict", "classify", "regress")
)


class Service:
    """Checks requests and runs them.

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

    def version(
        self, name: str, version: int | None, label: str | None
    ) -> LoadedVersion:
        """Acquire the version that a request is for; the caller releases it.

        Args:
            name: The model's name.
            version: A version number, or None for the latest.
            label: A version's label, or None.

        Raises:
            ServingError: There is no such model or version. A config file of
                TensorFlow Serving defines labels, so this server knows none.
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
        version: LoadedVersion,
        name: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str],
        deadline: float,
    ) -> dict[str, np.ndarray]:
        """Run a request.

        Args:
            version: The version to run it on.
            name: The name of one of its signatures.
            inputs: The request's inputs, not yet checked.
            output_filter: The outputs wanted; empty for all.
            deadline: By `time.monotonic`.

        Returns:
            The outputs; strings as `bytes` in an object array.

        Raises:
            ServingError: It could not be answered.
            tf.errors.OpError: What the model raised.
        """
        session = version.session
        signature = session.entries[name]
        complete = complete_inputs(name, signature, inputs)
        outputs = select_outputs(signature, output_filter)
        self.check_rows(max((len(a) for a in complete.values() if a.ndim), default=0))
        call = Call(
            key=(id(version), name, outputs),
            run=lambda arrays, limit: session.compute(
                signature, arrays, outputs, limit
            ),
            not_mergeable=lambda: version.unmergeable.add(name),
        )
        mergeable = name not in version.unmergeable and _has_rows(signature)
        # The run may outlast this request, which gives up at its deadline.
        version.acquire()
        try:
            future = self._batcher.submit(call, complete, mergeable, deadline)
        except BaseException:
            version.release()
            raise
        future.add_done_callback(lambda _: version.release())
        try:
            return future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            future.cancel()
            raise timed_out() from None


# === Checks of a request against its signature ===


def find_signature(session: ServingSession, name: str) -> Signature:
    """Find an entry of the signature map by name.

    Raises:
        ServingError: There is none of this name.
    """
    if name not in session.entries:
        raise ServingError(
            Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
        )
    return session.entries[name]


def check_method(signature: Signature) -> None:
    """Refuse an entry that is no prediction, such as the initialiser.

    Raises:
        ServingError: Its method name is not that of a prediction.
    """
    if signature.definition.method_name not in _METHOD_NAMES:
        raise ServingError(
            Code.INTERNAL,
            "Expected prediction signature method_name to be one of "
            f"{{{', '.join(_METHOD_NAMES)}}}. Was: {signature.definition.method_name}",
        )


def complete_inputs(
    signature_name: str, signature: Signature, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Check a request's inputs and add the defaults of those it leaves out.

    Returns:
        An array for each declared input.

    Raises:
        ServingError: A name, a dtype or a shape is not as declared.
    """
    defaults = signature.definition.defaults
    names, expected = set(inputs), set(signature.inputs)
    required = expected - set(defaults)
    if not required <= names <= expected:
        raise invalid(
            f"input size does not match signature: {len(names)}!={len(expected)} "
            f"len({{{_join(names)}}}) != len({{{_join(expected)}}}). Sent extra: "
            f"{{{_join(names - expected)}}}. Missing but required: "
            f"{{{_join(required - names)}}}."
        )
    complete = {}
    for name, info in signature.inputs.items():
        array = inputs[name] if name in inputs else tf.make_ndarray(defaults[name])
        dtype = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
        if dtype != info.dtype or not info.shape.is_compatible_with(array.shape):
            raise invalid(
                f"Input {name} of signature {signature_name} must be "
                f"{_describe(info)}. Received: {dtype.name} {list(array.shape)}."
            )
        complete[name] = array
    return complete


def select_outputs(
    signature: Signature, output_filter: Sequence[str]
) -> tuple[str, ...]:
    """The names of the outputs that a request wants; all without a filter.

    Raises:
        ServingError: A name is unknown, or comes twice.
    """
    for i, name in enumerate(output_filter):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs "
                f"expected to be in the set {{{_join(signature.outputs)}}}."
            )
        if name in output_filter[:i]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return tuple(output_filter) or tuple(signature.outputs)


def _has_rows(signature: Signature) -> bool:
    """Whether every input and output has a first dimension of any size."""
    infos = *signature.inputs.values(), *signature.outputs.values()
    return bool(signature.inputs) and all(
        info.shape.rank and info.shape[0] is None for info in infos
    )


def _describe(info: TensorInfo) -> str:
    if info.shape.rank is None:
        return f"{info.dtype.name} of any shape"
    sizes = ["any" if size is None else str(size) for size in info.shape]
    return f"{info.dtype.name} [{', '.join(sizes)}]"


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
