"""How much memory is free."""

import os
from pathlib import Path


def free_memory() -> int:
    """Bytes that this process could still take without pushing others out.

    The machine's, or those of its container where it has fewer.
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
