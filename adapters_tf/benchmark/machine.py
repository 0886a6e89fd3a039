"""What a measurement was made on."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

_LIBRARIES = ("adapters-tf", "tensorflow", "tensorflow-text", "keras", "keras-hub")
_CPU_INFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, system, load and versions, for JSON."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    now = datetime.datetime.now(datetime.UTC)
    return {
        "date": now.date().isoformat(),
        "processor": _processor(),
        "cores": _cores(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        # Of the last minute: how busy the machine was before the first call.
        "load_average": load,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
    }


def machine_line(machine: dict[str, Any]) -> str:
    """`describe_machine()` as a sentence for people, without its full stop."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    load = machine["load_average"]
    return (
        f"{machine['date']}; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}; load average before "
        f"{'unknown' if load is None else f'{load:.1f}'}; {versions}"
    )


def _processor() -> str:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gb() -> float | None:
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    return round(pages / 2**30, 1)
