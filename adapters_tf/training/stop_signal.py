"""SIGTERM, which a scheduler sends before it takes a machine away."""

import signal
import threading
from types import FrameType, TracebackType

from adapters_tf.errors import TryAgain


class Stopped(TryAgain):
    """The run was asked to stop, and can be continued."""


class StopSignal:
    """Within it, SIGTERM is remembered, to be acted on at the next good moment.

    It is a context manager; in threads other than the main one it does nothing.
    """

    def __init__(self) -> None:
        self._received = False
        self._old: object = None

    @property
    def received(self) -> bool:
        """Whether SIGTERM has come."""
        return self._received

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGTERM, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._old is not None:
            signal.signal(signal.SIGTERM, self._old)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._received = True
