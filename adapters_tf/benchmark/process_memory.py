"""Memory of the process that asks."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """What is in use now; where the system has no `/proc`, the most there ever was."""
    return _status("VmRSS:")


def peak_bytes() -> int:
    """The most that was ever in use.

    On Linux not what `getrusage` says, which starts at the peak of the process that
    started this one.
    """
    return _status("VmHWM:")


def _status(key: str) -> int:
    if _STATUS.is_file():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(key):
                return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
