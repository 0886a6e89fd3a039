"""Which rows' hidden states are kept, and where."""

import time
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from absl import logging

from adapters_tf.data.demo import cache_dir
from adapters_tf.errors import UserError
from adapters_tf.io import free_space
from adapters_tf.models.features import Features
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.training.prefix_cache.config import CacheConfig
from adapters_tf.training.prefix_cache.disk_store import DiskStore
from adapters_tf.training.prefix_cache.hidden_states import (
    HiddenStates,
    HiddenStatesComputer,
)
from adapters_tf.training.prefix_cache.memory_store import MemoryStore
from adapters_tf.training.prefix_cache.room import free_memory
from adapters_tf.training.prefix_cache.row_keys import FORMAT
from adapters_tf.training.prefix_cache.store import Store, StoreFailed
from adapters_tf.training.strategy import is_tpu, num_workers

_MOST_ON_DISK = 50e9
_SECONDS_BETWEEN_LINES = 10


class PrefixCache:
    """Rows' hidden states under the lowest trained block, for all epochs and runs.

    Runs that share a cache, such as the trials of a sweep, share what it keeps in
    memory; what is on disk, all processes and later ones do.

    Args:
        config: Whether and where.
        shared: Whether several runs are to come, so that it pays for one epoch too.
        show: Print what was computed.
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
    ) -> list[Features | HiddenStates]:
        """The rows, as hidden states where these are kept.

        Computes what is not there yet, and says so in a line. Where they cannot be
        kept the rows come back as they are, with a line or a warning that says why.

        Args:
            prefix: The model, cut above the blocks below everything that it trains;
                `None` if there is no such block. The same object for the same model,
                so that nothing is traced and hashed again.
            parts: The rows, in parts such as training and dev rows.
            passes: How often they will be read.

        Returns:
            The parts, in their order.

        Raises:
            UserError: if `"memory"` or `"disk"` was asked for on a TPU or with
                several workers.
        """
        mode = self._mode(passes)
        if mode == "off":
            return list(parts)
        if prefix is None:
            self._computer = None  # nor the model that it was for
            if mode != "auto":
                print(
                    f"cache={mode} has nothing to keep: the lowest block, or what is "
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
            store = self._room(mode, sizes)
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
        # The fingerprint of the last model is taken again, and for that model alone:
        # other base weights come as another model, with a prefix of its own, and what
        # lies below a cut is neither trained nor set with an adapter.
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

    def _room(self, mode: str, sizes: dict[bytes, int]) -> Store | None:
        """Where there is room for all of these values."""
        tried = []
        # Of several processes each would compute, and keep, all of it by itself.
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
        # Of what is free without the cache itself, which only grows in here.
        free = free_memory() + self._memory.num_bytes
        most = free / 2 if limit is None else limit * 1e9
        # The others may look at the same free memory at the same time.
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
                limit = min(_MOST_ON_DISK, (free_space(path) + taken) / 2) / 1e9
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
            # Of equal rows the first.
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
