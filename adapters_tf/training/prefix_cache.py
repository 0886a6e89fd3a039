"""The cache of hidden states: which rows it holds, and whether in memory or on disk."""

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from absl import logging

from adapters_tf.data.demo import cache_dir
from adapters_tf.errors import UserError, check_counts
from adapters_tf.io import free_space
from adapters_tf.models.features import Features, ModelInputs
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.training.devices import is_tpu
from adapters_tf.training.prefix_states import (
    FORMAT,
    HiddenStates,
    HiddenStatesComputer,
)
from adapters_tf.training.prefix_stores import (
    DiskStore,
    MemoryStore,
    Store,
    StoreFailed,
)
from adapters_tf.training.workers import num_workers

CACHE_MODES = ("auto", "off", "memory", "disk")
_MAX_ON_DISK = 50e9
_SECONDS_BETWEEN_LINES = 10


@dataclasses.dataclass(frozen=True)
class CacheConfig:
    """Where to cache the hidden states under the lowest trained block.

    The cache changes the results of training and prediction by rounding only.

    Attributes:
        mode: `"memory"`, `"disk"`, `"off"` or `"auto"`. `"auto"` caches rows that are
            read more than once: in memory if they fit, else on disk if they fit there.
            Several processes share the disk, so for them `"auto"` does not try memory.
        gigabytes: Most gigabytes (10^9 bytes) to keep; by default half of what is free,
            and at most 50 on disk.
        directory: Folder of the file for `"disk"`; by default `cache_dir()`.
        processes: Number of processes on this machine that have such a cache at the
            same time, such as the workers of a sweep. They share `gigabytes`.

    Raises:
        UserError: A value is out of range.
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


class PrefixCache:
    """Caches the hidden states under the lowest trained block over epochs and runs.

    Runs that use one cache, such as the trials of a sweep, share what it holds in
    memory. All processes, later ones too, share what it holds on disk.

    Args:
        config: Whether and where to cache.
        shared: Whether several runs will use the cache, so that it pays off even for
            runs of one epoch.
        show: Whether to print what was computed.
    """

    def __init__(
        self,
        config: CacheConfig | None = None,
        shared: bool = False,
        show: bool = True,
    ) -> None:
        self._show = show
        self.config = config or CacheConfig()
        self._shared = shared
        self._memory: MemoryStore | None = None
        self._disk: DiskStore | None = None
        self._computer: HiddenStatesComputer | None = None

    def rows(
        self, prefix: FrozenPrefix | None, parts: Sequence[Features], passes: int
    ) -> list[ModelInputs]:
        """Turn tokens into cached hidden states where that is possible.

        Computes the hidden states that the cache lacks, and prints a line about it. If
        it cannot keep them, it returns the tokens, and prints or logs the reason.

        Args:
            prefix: The model, cut above its highest block that is below everything
                it trains; `None` if there is no such block. Give the same object for
                the same model, or the cache traces and hashes the model again.
            parts: Rows, such as the training rows and the dev rows.
            passes: How often the rows will be read.

        Returns:
            The parts, in order: `HiddenStates`, or the tokens as they came.

        Raises:
            UserError: The mode is `"memory"` or `"disk"`, and training runs on a TPU
                or on several workers.
        """
        mode = self._mode(passes)
        if mode == "off":
            return list(parts)
        if prefix is None:
            self._computer = None  # frees the last model
            if mode != "auto":
                print(
                    f"cache={mode} has nothing to keep: the lowest block, or a layer "
                    "below it, is trained",
                    flush=True,
                )
            return list(parts)
        compute = self._computer_of(prefix)
        keys = [compute.keys(part) for part in parts]
        size = prefix.hidden_dim * compute.dtype.itemsize
        sizes = {
            key: int(length) * size
            for part, names in zip(parts, keys, strict=True)
            for key, length in zip(names, part.lengths, strict=True)
        }
        try:
            store = self._store_for(mode, sizes)
            if store is None:
                return list(parts)
            self._fill(store, parts, keys, sizes, compute)
        except StoreFailed as error:
            logging.warning("The hidden states are not kept: %s", error)
            return list(parts)
        return [
            HiddenStates(part, names, store, compute)
            for part, names in zip(parts, keys, strict=True)
        ]

    def _computer_of(self, prefix: FrozenPrefix) -> HiddenStatesComputer:
        # Reuse the fingerprint of the last model. Nothing trains or sets the weights
        # below a cut, and other base weights come as another model with another prefix.
        if self._computer is None or self._computer.prefix is not prefix:
            self._computer = HiddenStatesComputer(prefix)
        return self._computer

    def _mode(self, passes: int) -> str:
        mode = self.config.mode
        strategy = tf.distribute.get_strategy()
        if is_tpu(strategy) or num_workers(strategy) > 1:
            if mode in ("memory", "disk"):
                raise UserError(
                    "The cache is for one process and for CPUs and GPUs: with a TPU or "
                    "several workers, cache must be auto or off. Received: "
                    f"cache={mode} with {type(strategy).__name__}"
                )
            return "off"
        if mode == "auto" and passes < 2 and not self._shared:
            return "off"
        return mode

    def _store_for(self, mode: str, sizes: dict[bytes, int]) -> Store | None:
        """The store that has space for all of these values, if there is one."""
        tried = []
        # In memory, each of several processes would compute and keep all of them.
        alone = self.config.processes == 1
        if mode == "memory" or (mode == "auto" and alone):
            memory = self._memory_store()
            absent = memory.missing(sizes)
            if memory.reserve(sizes, sum(sizes[key] for key in absent)):
                return memory
            tried.append(f"{memory.limit / 1e9:.1f} GB of memory")
        if mode in ("auto", "disk"):
            disk = self._disk_store()
            absent = disk.missing(sizes)
            if disk.reserve(sizes, sum(sizes[key] for key in absent)):
                return disk
            tried.append(f"{disk.limit / 1e9:.1f} GB of disk")
        line = (
            f"The hidden states of these rows take {sum(sizes.values()) / 1e9:.1f} GB, "
            f"more than {' and '.join(tried)}: they are not kept. Another cache_gb "
            "allows more."
        )
        if mode == "auto":
            print(line, flush=True)
        else:
            logging.warning("%s", line)
        return None

    def _memory_store(self) -> MemoryStore:
        limit = self.config.gigabytes
        if self._memory is None:
            self._memory = MemoryStore(0)
        # What would be free without this cache.
        free = free_memory() + self._memory.num_bytes
        most = free / 2 if limit is None else limit * 1e9
        # Other processes may count on the same free memory at the same time.
        self._memory.limit = int(most / self.config.processes)
        return self._memory

    def _disk_store(self) -> DiskStore:
        if self._disk is None:
            folder = self.config.directory
            path = Path(folder) if folder else cache_dir()
            path = path / f"hidden-states-{FORMAT}.sqlite"
            limit = self.config.gigabytes
            if limit is None:
                taken = path.stat().st_size if path.exists() else 0
                limit = min(_MAX_ON_DISK, (free_space(path) + taken) / 2) / 1e9
            self._disk = DiskStore(path, int(limit * 1e9))
        return self._disk

    def _fill(
        self,
        store: Store,
        parts: Sequence[Features],
        keys: Sequence[Sequence[bytes]],
        sizes: dict[bytes, int],
        compute: HiddenStatesComputer,
    ) -> None:
        absent = store.missing(sizes)
        total, done, shown = len(absent), 0, time.monotonic()
        for part, names in zip(parts, keys, strict=True):
            # Compute the first of equal rows.
            first = {key: row for row, key in reversed(list(enumerate(names)))}
            rows = [row for key, row in first.items() if key in absent]
            absent -= first.keys()
            for some in compute(part, rows):
                store.put((names[row], value) for row, value in some)
                done += len(some)
                if time.monotonic() - shown > _SECONDS_BETWEEN_LINES:
                    shown = time.monotonic()
                    print(f"hidden states of {done:,} of {total:,} rows", flush=True)
        if self._show:
            blocks = len(compute.prefix.model.backbone.encoder_blocks)
            print(
                f"frozen blocks: {compute.prefix.num_blocks} of {blocks}, computed "
                f"once for {len(sizes):,} different rows, {total:,} of them new; "
                f"{sum(sizes.values()) / 1e6:,.0f} MB "
                f"{'in memory' if store is self._memory else 'on disk'}",
                flush=True,
            )


def free_memory() -> int:
    """Bytes that this process can still allocate without pushing others out.

    Counts what the machine has free, or its container if that has less.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit = _read(f"/sys/fs/cgroup/{most}").strip()
        taken = _read(f"/sys/fs/cgroup/{used}").strip()
        if limit.isdigit() and taken.isdigit():
            free = min(free, max(0, int(limit) - int(taken)))
    return free


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
