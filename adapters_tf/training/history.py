"""The dev metrics of a run's epochs, kept beside its checkpoints."""

from pathlib import Path
from typing import Any

from adapters_tf.io import read_json, write_json
from adapters_tf.training.run_dir import HISTORY_FILE


class History:
    """Epoch by epoch, what was measured; on disk as soon as it is known.

    Args:
        directory: The run's directory.
        writes: Whether this process writes the file.
        epochs: How many epochs the restored state has behind it. Later ones, known
            from a checkpoint that could not be read, are forgotten.
    """

    def __init__(self, directory: Path, writes: bool, epochs: int) -> None:
        self._path = directory / HISTORY_FILE
        self._writes = writes
        self.epochs: list[dict[str, Any]] = []
        if self._path.is_file():
            try:
                self.epochs = read_json(self._path)["epochs"][:epochs]
            except (OSError, ValueError, KeyError, TypeError):
                # Not ours, as ours is renamed into place; measured anew.
                self.epochs = []

    @property
    def scores(self) -> dict[str, float]:
        """The last epoch's dev metrics."""
        return self.epochs[-1]["dev"]

    @property
    def best(self) -> dict[str, Any]:
        """The epoch whose first dev metric is the highest, the first of equals."""
        return max(self.epochs, key=_first_metric)

    def is_best(self, dev: dict[str, float]) -> bool:
        """Whether these dev metrics are above those of all epochs before."""
        return all(_first_metric({"dev": dev}) > _first_metric(e) for e in self.epochs)

    def add(self, epoch: dict[str, Any]) -> None:
        """Add an epoch: `epoch` (from 1), `step`, `dev`, and `confusion` of classes."""
        self.epochs.append(epoch)
        if self._writes:
            write_json(self._path, {"epochs": self.epochs})


def _first_metric(epoch: dict[str, Any]) -> float:
    value = float(next(iter(epoch["dev"].values())))
    return value if value == value else float("-inf")
