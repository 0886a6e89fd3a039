"""Workers that train together: they start, stop and fail together.

A worker is one process of a `MultiWorkerMirroredStrategy`. With every other strategy
there is one worker, and the functions here do nothing.
"""

import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType

import tensorflow as tf

from adapters_tf.errors import TryAgain, UserError

WAIT_SECONDS = 600.0
_QUIET_SECONDS = 10.0
_POLL_SECONDS = 0.2
# TensorFlow raises any of these when another worker is gone.
_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class WorkerLost(TryAgain):
    """Another worker died or cannot be reached."""


class Stopped(TryAgain):
    """The run was asked to stop, and can be continued."""


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that train together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec()
    return sum(cluster.num_tasks(job) for job in cluster.jobs if job != "evaluator")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files and prints."""
    if num_workers(strategy) == 1:
        return True
    resolver = strategy.cluster_resolver
    if resolver.task_type == "chief":
        return True
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs


def sum_over_workers(strategy: tf.distribute.Strategy, value: float) -> float:
    """Sum a number over the workers.

    Every worker must call it, and it returns when all of them have: it is a barrier.
    """
    if num_workers(strategy) == 1:
        return value
    # The first replica of each worker has the value, and the others 0: parts of it on
    # all replicas would not add up exactly.
    replicas = strategy.num_replicas_in_sync // num_workers(strategy)
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(
            0.0 if context.replica_id_in_sync_group % replicas else value, tf.float64
        )
    )
    return float(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))


def wait_for_workers(
    addresses: Sequence[str], own: str, seconds: float = WAIT_SECONDS
) -> None:
    """Wait until every worker listens at its address.

    TensorFlow itself waits for an hour, ignores signals and prints nothing.

    Args:
        addresses: `host:port` of all workers.
        own: The address of this process, which listens there while it waits.
        seconds: How long to wait.

    Raises:
        UserError: An address is not `host:port`, or the port of this process is taken.
        TryAgain: A worker does not answer in time.
    """
    endpoints = {address: _split(address) for address in addresses}
    missing = [address for address in addresses if address != own]
    start = time.monotonic()
    warned = False
    with _listen(own, endpoints[own][1]):
        while True:
            missing = [one for one in missing if not _answers(*endpoints[one])]
            waited = time.monotonic() - start
            if not missing:
                return
            if waited >= seconds:
                raise TryAgain(
                    "All workers of TF_CONFIG must be running, at addresses that "
                    f"reach them. After {seconds:.0f} seconds nobody answers at "
                    f"{', '.join(missing)}. Start the same command on all workers."
                )
            if waited >= _QUIET_SECONDS and not warned:
                warned = True
                print(f"waiting for {', '.join(missing)}", file=sys.stderr, flush=True)
            time.sleep(_POLL_SECONDS)


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


@contextlib.contextmanager
def report_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Raise a readable error when TensorFlow loses another worker in the block.

    Args:
        strategy: The strategy of the run.

    Raises:
        WorkerLost: A collective operation failed.
    """
    try:
        yield
        leave_together(strategy)
    except _LOST_WORKER as error:
        if num_workers(strategy) == 1:
            raise
        # Lines with {{...}} name the node of the graph; the others give reasons.
        lines = [line.strip() for line in str(error.message).split("\n")]
        reasons = [line for line in lines if "{{" not in line and ":" in line]
        reason = (reasons or lines)[-1][:300]
        raise WorkerLost(
            "A worker of the run was lost, or cannot be reached. Start the same "
            "command again on all workers: the run goes on from its last checkpoint. "
            f"TensorFlow says: {reason}"
        ) from error


def leave_together(strategy: tf.distribute.Strategy) -> None:
    """Wait for all workers; call it last, where all of them end in the same way.

    A worker that leaves as soon as it has the result of a collective operation makes
    that operation fail in workers that do not have the result yet. This adds one more
    operation, whose failure does not matter.

    Args:
        strategy: The strategy of the run.
    """
    with contextlib.suppress(*_LOST_WORKER):
        sum_over_workers(strategy, 1.0)


class StopSignal:
    """Context manager that notes a SIGTERM, for the program to act on later.

    Schedulers send SIGTERM before they take a machine away. Outside the main thread,
    the context manager does nothing.
    """

    def __init__(self) -> None:
        self._received = False
        self._old: object = None

    @property
    def received(self) -> bool:
        """Whether a SIGTERM has come."""
        return self._received

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._old is not None:
            signal.signal(signal.SIGTERM, self._old)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = True
