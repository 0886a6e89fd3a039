"""Names of files that are made of tasks' names."""

import itertools
import re

_LONGEST = 80


class FileNames:
    """Gives names that no earlier one is equal to, fit for every file system."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def new(self, wanted: str) -> str:
        """`wanted` in plain characters, with a number if it is in use."""
        name = re.sub(r"[^\w.-]", "_", wanted, flags=re.ASCII)[:_LONGEST]
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        # Some file systems take A and a for the same name.
        free = next(
            candidate
            for candidate in itertools.chain([name], numbered)
            if candidate.lower() not in self._used
        )
        self._used.add(free.lower())
        return free
