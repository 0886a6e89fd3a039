"""Answer requests: the shared part of the gRPC and REST APIs."""

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
        """Count a request while it lasts.

        Raises:
            ServingError: if there are too many.
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
        """Return the deadline of a request that arrives now, by `time.monotonic`.

        Args:
            seconds: The client's own time limit, if any.
        """
        limit = self.options.request_timeout
        return time.monotonic() + (limit if seconds is None else min(limit, seconds))

    def version(
        self, name: str, version: int | None, label: str | None
    ) -> LoadedVersion:
        """Acquire the version for a request; the caller must release it.

        Args:
            name: The model's name.
            version: A version number, or None for the latest.
            label: A version's label, or None.

        Raises:
            ServingError: if there is no such model or version, or a label is given.
                TensorFlow Serving defines labels in a config file, which this server
                lacks.
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
        """Return the states of one version, or of all.

        Raises:
            ServingError: if there is no such model or version.
        """
        known = self.versions.statuses() if name == self.options.name else []
        if version is not None:
            known = [status for status in known if status.version == version]
        if known:
            return known
        wanted = "any versions" if version is None else f"version {version}"
        raise ServingError(Code.NOT_FOUND, f"Could not find {wanted} of model {name}")

    def check_rows(self, rows: int) -> None:
        """Reject a request with too many rows.

        Raises:
            ServingError: if it has more than `max_rows`.
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
            version: The version to run.
            name: The name of one of its signatures.
            inputs: The request's unchecked inputs.
            output_filter: The requested outputs; empty for all.
            deadline: By `time.monotonic`.

        Returns:
            The outputs; strings as `bytes` in an object array.

        Raises:
            ServingError: if the request cannot be answered.
            tf.errors.OpError: if the model raises it.
        """
        session = version.session
        signature = session.entries[name]
        complete = complete_inputs(name, signature, inputs)
        wanted = select_outputs(signature, output_filter)
        rows = {len(array) for array in complete.values() if array.ndim}
        self.check_rows(max(rows, default=0))
        if len(rows) > 1 and _has_rows(signature):
            # TF.Text's ops crash the process when texts and pairs differ in number.
            raise invalid(
                f"All inputs of signature {name} must have the same number of rows. "
                f"Received: { {key: len(array) for key, array in complete.items()} }"
            )
        # Always compute all outputs: TensorFlow prepares the graph anew for each set of
        # outputs, which takes seconds, and keeps it.
        call = Call(
            key=(id(version), name),
            run=lambda arrays, limit: session.compute(
                signature, arrays, tuple(signature.outputs), limit
            ),
            not_mergeable=lambda: version.unmergeable.add(name),
        )
        mergeable = name not in version.unmergeable and _has_rows(signature)
        # The run may last longer than this request, which stops at its deadline.
        version.acquire()
        try:
            future = self._batcher.submit(call, complete, mergeable, deadline)
        except BaseException:
            version.release()
            raise
        future.add_done_callback(lambda _: version.release())
        try:
            outputs = future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            future.cancel()
            raise timed_out() from None
        return {name: outputs[name] for name in wanted}


# === Checks of a request against its signature ===


def find_signature(session: ServingSession, name: str) -> Signature:
    """Find an entry of the signature map by name.

    Raises:
        ServingError: if there is none with this name.
    """
    if name not in session.entries:
        raise ServingError(
            Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
        )
    return session.entries[name]


def check_method(signature: Signature) -> None:
    """Reject an entry that is not a prediction, such as the initialiser.

    Raises:
        ServingError: if its method name is not a prediction's.
    """
    if signature.definition.method_name not in _METHOD_NAMES:
        # INTERNAL in TensorFlow Serving, although the client can mend it.
        raise invalid(
            "Expected prediction signature method_name to be one of "
            f"{{{', '.join(_METHOD_NAMES)}}}. Was: {signature.definition.method_name}"
        )


def complete_inputs(
    signature_name: str, signature: Signature, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Check a request's inputs, and add defaults for missing ones.

    Returns:
        An array for each declared input.

    Raises:
        ServingError: if a name, dtype or shape is not as declared.
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
    """Return the names of the requested outputs; all without a filter.

    Raises:
        ServingError: if a name is unknown or repeats.
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
