"""Artefacts that all processes of a test run share: presets, exports, the wheel.

pytest-xdist gives every worker its own session fixtures. What takes seconds to make
goes through `SharedArtefacts` instead, and is made once for the whole run.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path


class SharedArtefacts:
    """Directories that the first process to ask for them makes.

    Args:
        root: Directory of all artefacts of the run.
    """

    def __init__(self, root):
        self._root = Path(root)
        self._root.mkdir(parents=True, exist_ok=True)

    def get(self, name, make):
        """The directory of this artefact, complete.

        Other processes wait while one makes it. If making it fails, the next process
        to ask starts again from an empty directory.

        Args:
            name: Letters, digits and underscores, one name for each artefact.
            make: Called with the empty directory, to fill it. May ask for other
                artefacts.
        """
        directory, done = self._root / name, self._root / f"{name}.done"
        with self._lock(name):
            if not done.exists():
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                make(directory)
                done.touch()
        return directory

    @contextlib.contextmanager
    def _lock(self, name):
        # The system releases it if the process dies.
        with open(self._root / f"{name}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def run_directory(own_directory):
    """The directory that all processes of a run see.

    Args:
        own_directory: `tmp_path_factory.getbasetemp()` of this process. A worker of
            pytest-xdist has one inside the run's.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return Path(own_directory).parent if is_worker else Path(own_directory)
