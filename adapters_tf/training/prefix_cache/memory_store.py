"""Values kept in this process's memory."""

from collections.abc import Collection, Iterable, Sequence


class MemoryStore:
    """A `Store` in memory.

    Args:
        limit: The most bytes that it keeps.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.num_bytes = 0
        # The last one used is the last one.
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
            return True  # also where the limit is lower now
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
