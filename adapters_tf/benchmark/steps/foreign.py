"""What else the machine does while something is timed."""

import os
from pathlib import Path

_STAT = Path("/proc/stat")


def busy_seconds() -> float | None:
    """Seconds that all cores together were busy since the start; Linux only."""
    if not _STAT.is_file():
        return None
    user, nice, system, _, _, irq, softirq, *_ = (
        int(value) for value in _STAT.read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
