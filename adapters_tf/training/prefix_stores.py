"""Stores: where the cache keeps bytes by key, in memory or in a file.

The file is an SQLite database. SQLite comes with Python, keeps or drops a transaction
whole when a process is killed, and lets several processes read and write one file. It
reports a damaged file as an error; stores that map their file into memory crash instead
(LMDB ends with SIGBUS when its file was cut). `DiskStore` adds what SQLite lacks: a
checksum of each value, and a size limit that removes the least recently used values.
"""

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from absl import logging

_PAGE = 8192
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries(
    id INTEGER PRIMARY KEY, key BLOB UNIQUE, bytes INTEGER, used REAL);
CREATE TABLE IF NOT EXISTS contents(
    id INTEGER PRIMARY KEY, checksum INTEGER, value BLOB);
CREATE INDEX IF NOT EXISTS by_use ON entries(used);
"""
_MAX_KEYS = 500  # in one query
_TIMEOUT = 60  # seconds to wait for the locks of other processes
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StoreFailed(Exception):
    """The store cannot be used any more; the message says why, in one line."""


class Store(Protocol):
    """Keeps values by key, up to a size limit; see `MemoryStore` and `DiskStore`."""

    def missing(self, keys: Collection[bytes]) -> set[bytes]:
        """Find the keys that have no value, and mark the others as just used."""

    def reserve(self, keys: Collection[bytes], num_bytes: int) -> bool:
        """Make space by removing the least recently used values.

        Args:
            keys: Keys of values that must stay.
            num_bytes: Size of the values that will be put.

        Returns:
            Whether there is space now. If not, nothing was removed.
        """

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep values, and replace those of the same keys."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Get the values; `None` for one that is absent or damaged."""


class MemoryStore:
    """A `Store` in the memory of this process.

    Args:
        limit: Most bytes to keep.

    Attributes:
        limit: Most bytes to keep.
        num_bytes: Bytes kept now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.num_bytes = 0
        # In the order of use: the least recently used value comes first.
        self._values: dict[bytes, bytes] = {}

    def missing(self, keys: Collection[bytes]) -> set[bytes]:
        """See `Store.missing`."""
        absent = set()
        for key in keys:
            value = self._values.pop(key, None)
            if value is None:
                absent.add(key)
            else:
                self._values[key] = value
        return absent

    def reserve(self, keys: Collection[bytes], num_bytes: int) -> bool:
        """See `Store.reserve`."""
        keep = set(keys)
        kept = sum(len(self._values[key]) for key in keep if key in self._values)
        if not num_bytes:
            return True  # even if the limit was lowered since
        if kept + num_bytes > self.limit:
            return False
        for key in [key for key in self._values if key not in keep]:
            if self.num_bytes + num_bytes <= self.limit:
                break
            self.num_bytes -= len(self._values.pop(key))
        return True

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """See `Store.put`."""
        for key, value in items:
            self.num_bytes += len(value) - len(self._values.pop(key, b""))
            self._values[key] = value

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Store.get`."""
        return [self._values.get(key) for key in keys]


class DiskStore:
    """A `Store` in a file, which processes share and which outlives them.

    Args:
        path: The file. The store creates it and its folder if they do not exist.
        limit: Largest size of the file, in bytes.

    Raises:
        StoreFailed: The file cannot be used, or the disk is full; every method raises
            it too. The store removes a damaged file with a warning, and the next call
            opens a new one, made by this process or by another.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        self._lock = threading.Lock()
        self._warned = False
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = (
            None  # (device, inode) of the open file
        )
        with contextlib.suppress(_Damaged), self._connection():
            return
        with self._connection():
            pass

    def close(self) -> None:
        """Close the file. The next call opens it again."""
        if self._db is not None:
            self._db.close()
        self._db = None

    def missing(self, keys: Collection[bytes]) -> set[bytes]:
        """See `Store.missing`."""
        found: set[bytes] = set()
        with self._transaction() as db:
            for some in _pieces(keys):
                query = f"SELECT key FROM entries WHERE key IN ({_marks(some)})"
                there = [key for (key,) in db.execute(query, some)]
                found.update(there)
                db.execute(
                    f"UPDATE entries SET used = ? WHERE key IN ({_marks(there)})",
                    (time.time(), *there),
                )
        return set(keys) - found

    def reserve(self, keys: Collection[bytes], num_bytes: int) -> bool:
        """See `Store.reserve`."""
        if not num_bytes:
            return True  # even if the limit was lowered since
        keep = set(keys)
        with self._transaction() as db:
            num_kept = kept = 0
            for some in _pieces(keep):
                query = "SELECT count(*), total(bytes) FROM entries WHERE key IN "
                number, size = db.execute(f"{query} ({_marks(some)})", some).fetchone()
                num_kept += number
                kept += size
            # A value wastes the rest of its last page, and its row starts a page.
            coming = num_bytes + 2 * _PAGE * (len(keep) - num_kept)
            most = 0.97 * self.limit - 16 * _PAGE  # leaves space for keys and indices
            if kept + coming > most:
                return False
            # Read only as many rows as get removed: a file may have millions.
            oldest = db.execute("SELECT id, key FROM entries ORDER BY used")
            with contextlib.closing(oldest):
                while _pages_in_use(db) * _PAGE + coming > most:
                    if (row := oldest.fetchone()) is None:
                        break
                    if row[1] not in keep:
                        _delete(db, row[0])
        with self._connection() as db:
            if _number(db, "page_count") * _PAGE > self.limit:
                # `execute` would vacuum one page only.
                db.executescript("PRAGMA incremental_vacuum")
        return True

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """See `Store.put`."""
        with self._transaction() as db:
            for key, value in items:
                query = "SELECT id FROM entries WHERE key = ?"
                for (row_id,) in db.execute(query, (key,)).fetchall():
                    _delete(db, row_id)
                size = -(-len(value) // _PAGE) * _PAGE + _PAGE
                row_id = db.execute(
                    "INSERT INTO entries(key, bytes, used) VALUES (?, ?, ?)",
                    (key, size, time.time()),
                ).lastrowid
                db.execute(
                    "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)",
                    (row_id, _checksum(key, value), value),
                )

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Store.get`."""
        found: dict[bytes, bytes] = {}
        with self._connection() as db:
            for some in _pieces(set(keys)):
                query = (
                    "SELECT key, checksum, value FROM entries JOIN contents USING (id) "
                    f"WHERE key IN ({_marks(some)})"
                )
                for key, checksum, value in db.execute(query, some):
                    if isinstance(value, bytes) and checksum == _checksum(key, value):
                        found[key] = value
                    else:
                        self._warn("holds damaged values, which are not used")
        return [found.get(key) for key in keys]

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file that has the name now; one thread at a time."""
        with self._lock:
            try:
                # A process that finds the file damaged removes it (`_remove`).
                if self._db is None or _identity(self.path) != self._identity:
                    self.close()
                    self._db = self._open()
                yield self._db
            except (sqlite3.Error, OSError, TypeError, ValueError) as error:
                raise self._failure(error) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                # On a full disk SQLite has rolled back already.
                if db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        # Taken before opening: if another process replaces the file in between, the
        # identity does not match and the next call opens the new file.
        self._identity = _identity(self.path)
        self._warned = False
        db = self._db = sqlite3.connect(
            self.path, timeout=_TIMEOUT, check_same_thread=False, isolation_level=None
        )
        # A damaged page may call a value text; read bytes, and let the checksum decide.
        db.text_factory = bytes
        db.execute(f"PRAGMA page_size = {_PAGE}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # Not needed when a process is killed. A power failure may damage the file,
        # which the checks above find.
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(_SCHEMA)
        # A hard limit on the file, whatever the sum of the values says.
        db.execute(f"PRAGMA max_page_count = {max(16, self.limit // _PAGE)}")
        return db

    def _failure(self, error: Exception) -> StoreFailed:
        # Values on a damaged page may have other types than were written.
        damaged = isinstance(error, TypeError | ValueError | sqlite3.IntegrityError)
        code = getattr(error, "sqlite_errorcode", None) or 0
        damaged = damaged or code & 255 in _DAMAGED
        if damaged:
            self._warn(f"is damaged ({error}) and is not used any more")
            with contextlib.suppress(OSError):
                self._remove()
        # Otherwise the disk is full, or the file is not writable or long locked.
        self.close()
        return (_Damaged if damaged else StoreFailed)(f"{self.path}: {error}")

    def _remove(self) -> None:
        # The name may belong to another process's new file by now. While this process
        # holds the damaged file open, no other file gets its identity.
        if _identity(self.path) == self._identity:
            # Remove its journal too, or SQLite would apply it to the next file.
            self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    def _warn(self, what: str) -> None:
        if not self._warned:
            logging.warning("The cache %s %s", self.path, what)
        self._warned = True


class _Damaged(StoreFailed):
    """The file was damaged, and this process removed it."""


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = os.stat(path)
    except FileNotFoundError:
        return None
    return about.st_dev, about.st_ino


def _number(db: sqlite3.Connection, pragma: str) -> int:
    (number,) = db.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)


def _pages_in_use(db: sqlite3.Connection) -> int:
    return _number(db, "page_count") - _number(db, "freelist_count")


def _delete(db: sqlite3.Connection, row_id: int) -> None:
    db.execute("DELETE FROM entries WHERE id = ?", (row_id,))
    db.execute("DELETE FROM contents WHERE id = ?", (row_id,))


def _pieces(keys: Collection[bytes]) -> Iterator[list[bytes]]:
    keys = list(keys)
    for start in range(0, len(keys), _MAX_KEYS):
        yield keys[start : start + _MAX_KEYS]


def _marks(values: Collection[Any]) -> str:
    return ",".join("?" * len(values))


def _checksum(key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key))
