"""What the cache asks of a place that keeps bytes by key."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol


class StoreFailed(Exception):
    """The place cannot be used any more; the text says why, in a line."""


class Store(Protocol):
    """Keeps values by key, up to a limit; see `MemoryStore` and `DiskStore`."""

    def missing(self, keys: Collection[bytes]) -> set[bytes]:
        """Those of the keys that have no value; the others count as just used."""

    def reserve(self, keys: Collection[bytes], num_bytes: int) -> bool:
        """Make room, by removing what was used longest ago.

        Args:
            keys: Values that must stay.
            num_bytes: Size of the values to come.

        Returns:
            Whether there is room now; if not, nothing was removed.
        """

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep values, in the place of those of the same keys."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values; `None` where there is none, or none that is intact."""
