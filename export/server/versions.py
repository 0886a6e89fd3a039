"""Keep the version in service, and watch for newer ones."""

import dataclasses
import enum
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from adapters_tf.export.describe import find_versions
from adapters_tf.export.server.errors import Code, ServingError, as_serving_error
from adapters_tf.export.session import ServingSession

log = logging.getLogger(__name__)


class State(enum.IntEnum):
    """A version's state, with the numbers of TensorFlow Serving's proto."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """A version's number and state, and the error that ended it, if any."""

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


class LoadedVersion:
    """A version in memory, until its last user releases it.

    As a context manager, it releases one use at the end of the block.

    Args:
        number: The version's number.
        session: Its session. This object closes it.

    Attributes:
        number: As given.
        session: As given.
        unmergeable: Names of signatures whose outputs cannot be split by rows; their
            requests run alone.
    """

    def __init__(self, number: int, session: ServingSession) -> None:
        self.number = number
        self.session = session
        self.unmergeable: set[str] = set()
        self._lock = threading.Lock()
        self._uses = 1  # The owner's use.

    def acquire(self) -> "LoadedVersion":
        """Add a use, and return this object."""
        with self._lock:
            if not self._uses:
                raise RuntimeError("This version is closed.")
            self._uses += 1
        return self

    def release(self) -> None:
        """End a use; the last one closes the session."""
        with self._lock:
            self._uses -= 1
            last = not self._uses
        if last:
            self.session.close()

    @property
    def closed(self) -> bool:
        """Whether every user has released it."""
        return not self._uses

    def __enter__(self) -> "LoadedVersion":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Versions:
    """Keeps the highest version that loads in service.

    It loads and warms up a new version before that version replaces the old one, which
    finishes its own requests. It refuses a version that does not load until the files
    change; the version in service then stays. When someone removes the version in
    service, the highest of the others takes its place; without others, it stays in
    memory.

    Args:
        directory: The servable.
        name: The model's name, for errors.
        load: Loads and warms up a version's directory.
        observe: Called for every load with the version and whether it succeeded.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        load: Callable[[Path], ServingSession],
        observe: Callable[[int, bool], None] = lambda *_: None,
    ) -> None:
        self._directory = directory
        self._name = name
        self._load = load
        self._observe = observe
        self._lock = threading.Lock()
        self._current: LoadedVersion | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._retired: dict[int, weakref.ref[LoadedVersion]] = {}
        self._refused: dict[int, object] = {}  # version -> `_stamp` of its files
        self._warned = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> int | None:
        """The number of the version in service."""
        current = self._current
        return None if current is None else current.number

    def statuses(self) -> list[VersionStatus]:
        """Return every version seen so far, the highest first."""
        with self._lock:
            for version, reference in list(self._retired.items()):
                if (retired := reference()) is None or retired.closed:
                    del self._retired[version]
                    self._statuses[version] = VersionStatus(version, State.END)
            return sorted(self._statuses.values(), key=lambda s: -s.version)

    def acquire(self, version: int | None = None) -> LoadedVersion:
        """Add a use of the version in service; the caller must release it.

        Args:
            version: The only version to accept, or `None` for any.

        Raises:
            ServingError: if it is not in service.
        """
        with self._lock:
            current = self._current
            if current is not None and version in (None, current.number):
                return current.acquire()
        wanted = "Latest" if version is None else "Specific"
        arguments = self._name if version is None else f"{self._name}, {version}"
        raise ServingError(
            Code.NOT_FOUND,
            f"Servable not found for request: {wanted}({arguments})",
        )

    def poll(self) -> None:
        """Check the directory once, and load a version or fall back if needed."""
        found = find_versions(self._directory)
        for version in [v for v in self._refused if v not in found]:
            del self._refused[version]
        if not found and self._current is not None and not self._warned:
            self._warned = True
            log.warning("no version is left in %s; serving on", self._directory)
        for version in sorted(found, reverse=True):
            if version == self.current:
                return
            stamp = _stamp(found[version])
            if version in self._refused and self._refused[version] == stamp:
                continue
            if self._try(version, found[version]):
                self._warned = False
                return
            self._refused[version] = stamp

    def watch(self, seconds: float) -> None:
        """Poll in a separate thread from now on."""

        def loop() -> None:
            while not self._stop.wait(seconds):
                try:
                    self.poll()
                except Exception:  # The watch must survive temporary disk errors.
                    log.exception("looking for versions failed")

        self._thread = threading.Thread(target=loop, name="versions", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """End the watch and unload the version once its requests are done.

        Args:
            seconds: How long to wait for a load in progress.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(seconds)
        with self._lock:
            current, self._current = self._current, None
        if current is not None:
            self._retire(current)

    def _set(
        self, version: int, state: State, error: ServingError | None = None
    ) -> None:
        code, message = (Code.OK, "") if error is None else (error.code, error.message)
        with self._lock:
            self._statuses[version] = VersionStatus(version, state, code, message)

    def _try(self, version: int, directory: Path) -> bool:
        """Load a version and put it in service."""
        with self._lock:
            self._retired.pop(version, None)  # It was in service before.
        self._set(version, State.LOADING)
        start = time.monotonic()
        try:
            loaded = LoadedVersion(version, self._load(directory))
        except Exception as error:
            failure = as_serving_error(error)
            self._set(version, State.END, failure)
            self._observe(version, False)
            stays = "" if self.current is None else f"; {self.current} stays"
            log.error("version %d refused%s: %s", version, stays, failure.message)
            return False
        with self._lock:
            if self._stop.is_set():
                loaded.release()
                return True
            available = VersionStatus(version, State.AVAILABLE)
            self._statuses[version] = available
            old, self._current = self._current, loaded
        self._observe(version, True)
        log.info("version %d in service (%.1f s)", version, time.monotonic() - start)
        if old is not None:
            self._retire(old)
        return True

    def _retire(self, old: LoadedVersion) -> None:
        """End the owner's use; the last request on it closes the session."""
        with self._lock:
            self._retired[old.number] = weakref.ref(old)
            self._statuses[old.number] = VersionStatus(old.number, State.UNLOADING)
        old.release()


def _stamp(directory: Path) -> object:
    """Return a value that changes if files are added or changed, as during a copy."""
    stamp = []
    for root, _, files in os.walk(directory):
        for file in files:
            path = os.path.join(root, file)
            try:
                stat = os.stat(path)
            except OSError:
                continue
            stamp.append((path, stat.st_size, stat.st_mtime_ns))
    return sorted(stamp)
