"""Whether and where hidden states are kept."""

import dataclasses

from adapters_tf.errors import UserError, check_counts

CACHE_MODES = ("auto", "off", "memory", "disk")


@dataclasses.dataclass(frozen=True)
class CacheConfig:
    """Where the hidden states under the lowest trained block are kept.

    What is trained and predicted does not depend on it, but for rounding.

    Attributes:
        mode: `"memory"`, `"disk"` (in the cache folder, see `cache_dir`), `"off"`, or
            `"auto"`: where rows are read more than once, in memory if they fit, else
            on disk if they fit there, else off. Several processes share what is on
            disk, so `"auto"` does not try memory for them.
        gigabytes: The most that is kept, of 10^9 bytes; by default half of what is
            free, and on disk at most 50.
        directory: The folder for `"disk"`; by default in the cache folder.
        processes: How many processes of this machine have such a cache at a time, as
            the workers of a sweep do. `gigabytes` are of all of them together.

    Raises:
        UserError: if a value is not one of these.
    """

    mode: str = "auto"
    gigabytes: float | None = None
    directory: str | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        if self.mode not in CACHE_MODES:
            raise UserError(
                f"cache must be one of {', '.join(CACHE_MODES)}. Received: "
                f"{self.mode!r}"
            )
        if self.gigabytes is not None and not self.gigabytes > 0:
            raise UserError(
                f"cache_gb must be above 0. Received: cache_gb={self.gigabytes}"
            )
        check_counts(self, "processes")
