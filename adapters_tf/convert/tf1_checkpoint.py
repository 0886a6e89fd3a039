"""Checkpoints of TensorFlow 1."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from adapters_tf.errors import UserError

# What an optimizer adds to a checkpoint of Google's BERT code.
_SLOTS = ("/adam_m", "/adam_v")
_STEP = "global_step"


class Tf1Checkpoint:
    """The variables of a checkpoint, each read when it is asked for.

    Args:
        path: The checkpoint, such as `bert_model.ckpt`, or a directory with a file
            `checkpoint` that says which one is the latest.

    Attributes:
        path: The checkpoint.
        shapes: Name -> shape of the variables, without those of the optimizer.

    Raises:
        UserError: if there is none, or it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        text = str(path).removesuffix(".index")
        if Path(text).is_dir():
            text = tf.train.latest_checkpoint(text) or text
        if not Path(f"{text}.index").is_file():
            raise UserError(
                "A TF1 checkpoint is named by what its files begin with: NAME of "
                f"NAME.index. Received: {str(path)!r}{_near(Path(text))}"
            )
        self.path = text
        try:
            self._reader = tf.train.load_checkpoint(text)
            shapes = self._reader.get_variable_to_shape_map()
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            raise UserError(f"The checkpoint {text!r} is damaged: {error}") from error
        self.shapes = {
            name: tuple(shape)
            for name, shape in sorted(shapes.items())
            if name != _STEP and not name.endswith(_SLOTS)
        }

    def read(self, name: str) -> np.ndarray:
        """The value of a variable.

        Raises:
            UserError: if it cannot be read, or is not finite float32.
        """
        try:
            value = np.asarray(self._reader.get_tensor(name))
        except (tf.errors.OpError, RuntimeError, ValueError) as error:
            raise UserError(
                f"The checkpoint {self.path!r} is damaged: {error}"
            ) from error
        if value.dtype != np.float32 or not np.isfinite(value).all():
            raise UserError(
                "A checkpoint's variables must be finite float32 numbers. Received: "
                f"{name} of {self.path!r}, {value.dtype}"
            )
        return value


def _near(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return f", and there is no directory {str(folder)!r}"
    names = sorted(p.name.removesuffix(".index") for p in folder.glob("*.index"))
    return f"; {str(folder)!r} holds {', '.join(names[-5:]) or 'no checkpoint'}"
