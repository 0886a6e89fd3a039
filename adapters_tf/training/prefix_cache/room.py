"""How much memory and disk is free."""

import os
import shutil
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


def free_disk(path: Path) -> int:
    """Bytes free where this file or folder is, or would be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
