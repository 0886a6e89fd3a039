"""Values kept in a file that processes share, and that outlives them.

An SQLite database: it is part of Python, a transaction is whole or absent when a
process is killed, several processes read and write one file, and a damaged file is an
error and not a crash, as it is for stores that map their file into memory (LMDB ends
with SIGBUS when a file was cut). What SQLite lacks is added: a checksum of each value,
and a limit with the values removed first that were asked for longest ago (`missing`).
"""

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from adapters_tf.training.prefix_cache.store import StoreFailed

_PAGE = 8192
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries(
    id INTEGER PRIMARY KEY, key BLOB UNIQUE, bytes INTEGER, used REAL);
CREATE TABLE IF NOT EXISTS contents(
    id INTEGER PRIMARY KEY, checksum INTEGER, value BLOB);
CREATE INDEX IF NOT EXISTS by_use ON entries(used);
"""
_MOST_KEYS = 500  # of a query
_SECONDS = 60  # to wait for other processes
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DiskStore:
    """A `Store` in a file.

    Args:
        path: The file; it is made, with its folder, if it is not there.
        limit: The most bytes that the file may have.

    Raises:
        StoreFailed: from here and from every method, if the file cannot be used or
            the disk is full. A damaged file is removed, with a warning, and the next
            call opens a new one: its own, or that of another process.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        self._lock = threading.Lock()
        self._warned = False
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        with contextlib.suppress(_Damaged), self._connection():
            return
        with self._connection():
            pass

    def close(self) -> None:
        """Close the file. Another call opens it again."""
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
            return True  # also where the limit is lower now
        keep = set(keys)
        with self._transaction() as db:
            num_kept = kept = 0
            for some in _pieces(keep):
                query = "SELECT count(*), total(bytes) FROM entries WHERE key IN "
                number, size = db.execute(f"{query} ({_marks(some)})", some).fetchone()
                num_kept += number
                kept += size
            # Each value fills up its last page, and begins in another one.
            coming = num_bytes + 2 * _PAGE * (len(keep) - num_kept)
            most = 0.97 * self.limit - 16 * _PAGE  # the rest for keys and indices
            if kept + coming > most:
                return False
            # No more are read than are removed: a file may have millions.
            oldest = db.execute("SELECT id, key FROM entries ORDER BY used")
            with contextlib.closing(oldest):
                while _pages_in_use(db) * _PAGE + coming > most:
                    if (row := oldest.fetchone()) is None:
                        break
                    if row[1] not in keep:
                        _delete(db, row[0])
        with self._connection() as db:
            if _number(db, "page_count") * _PAGE > self.limit:
                # `execute` takes one step of it, a page.
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
                        self._warn("holds values that are damaged, which are not used")
        return [found.get(key) for key in keys]

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The file that has the name now, for one thread at a time."""
        with self._lock:
            try:
                # Whoever finds it damaged removes it, and the next one makes another.
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
                # A full disk has undone it already.
                if db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        # Before it is opened: of a file that came in between it is not the identity, so
        # that the next call opens it again.
        self._identity = _identity(self.path)
        self._warned = False
        db = self._db = sqlite3.connect(
            self.path, timeout=_SECONDS, check_same_thread=False, isolation_level=None
        )
        # As bytes, whatever a damaged page says that it is; the checksum decides.
        db.text_factory = bytes
        db.execute(f"PRAGMA page_size = {_PAGE}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # Killed processes do no harm without; a power failure may damage the file,
        # which is noticed.
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(_SCHEMA)
        # Whatever the sum of the values says, the file does not grow further.
        db.execute(f"PRAGMA max_page_count = {max(16, self.limit // _PAGE)}")
        return db

    def _failure(self, error: Exception) -> StoreFailed:
        # Of a damaged page, values may be of other types than were written.
        damaged = isinstance(error, TypeError | ValueError | sqlite3.IntegrityError)
        code = getattr(error, "sqlite_errorcode", None) or 0
        damaged = damaged or code & 255 in _DAMAGED
        if damaged:
            self._warn(f"is damaged ({error}) and is not used any more")
            with contextlib.suppress(OSError):
                self._remove()
        # Else full, not writable, or locked by others for long.
        self.close()
        return (_Damaged if damaged else StoreFailed)(f"{self.path}: {error}")

    def _remove(self) -> None:
        # What has the name now may be another process's new file. No file gets the
        # identity of this one as long as this one is open here.
        if _identity(self.path) == self._identity:
            # With its journal, or that would be applied to the next one.
            self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    def _warn(self, what: str) -> None:
        if not self._warned:
            logging.warning("The cache %s %s", self.path, what)
        self._warned = True


class _Damaged(StoreFailed):
    """The file was damaged, and is not there any more."""


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
    for start in range(0, len(keys), _MOST_KEYS):
        yield keys[start : start + _MOST_KEYS]


def _marks(values: Collection[Any]) -> str:
    return ",".join("?" * len(values))


def _checksum(key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key))
