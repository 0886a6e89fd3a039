"""Read the bank of a written version without loading the SavedModel."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from adapters_tf.errors import UserError

# TensorFlow raises an IndexError for a file that is too short.
_ERRORS = (tf.errors.OpError, IndexError, NotImplementedError, ValueError)


class BankFile:
    """The entries of `build_bank` in the checkpoint of a version.

    Args:
        version_dir: A version of a servable.

    Attributes:
        shapes: Entry -> shape.

    Raises:
        UserError: if there is no checkpoint with a bank.
    """

    def __init__(self, version_dir: Path) -> None:
        prefix = version_dir / "variables" / "variables"
        try:
            self._reader = tf.train.load_checkpoint(str(prefix))
            shapes = self._reader.get_variable_to_shape_map()
        except _ERRORS as error:
            raise UserError(f"{prefix} is missing or corrupt: {error}") from error
        self._keys = {}
        for key in shapes:
            parts = key.split("/")
            if parts[0] == "bank":
                # Checkpoints write a slash inside a name as ".S".
                self._keys[parts[1].replace(".S", "/")] = key
        self.shapes = {entry: tuple(shapes[key]) for entry, key in self._keys.items()}
        if not self.shapes:
            raise UserError(f"{prefix} has no bank of tasks: it is of no servable.")

    def read(self, entry: str) -> np.ndarray:
        """Read one entry.

        Raises:
            UserError: if its file is missing or corrupt.
        """
        try:
            return self._reader.get_tensor(self._keys[entry])
        except _ERRORS as error:
            raise UserError(
                "The bank of tasks is missing or corrupt: "
                f"{getattr(error, 'message', error)}. Add the tasks to an earlier "
                "version, or export the servable again."
            ) from error

    def read_all(self) -> dict[str, np.ndarray]:
        """Read all entries, as `build_bank` returned them."""
        return {entry: self.read(entry) for entry in self.shapes}
