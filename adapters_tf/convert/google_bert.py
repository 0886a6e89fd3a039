"""A BERT checkpoint of Google's TF1 code as a base.

tf-models-official also converts these checkpoints, to the names of its own encoder
(`tf2_bert_encoder_checkpoint_converter`). From there to keras-hub's variables is as far
as from the checkpoint, so the names are mapped here directly.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import tensorflow as tf

from adapters_tf.convert.bert import bert_tensors, check_names, check_sizes, read_sizes
from adapters_tf.convert.directories import (
    backbone_class,
    infer_lowercase,
    read_vocabulary,
    write_preset,
)
from adapters_tf.convert.files import read_json
from adapters_tf.errors import UserError

# What an optimizer adds to a checkpoint of Google's BERT code.
_SLOTS = ("/adam_m", "/adam_v")
_STEP = "global_step"


class Tf1Checkpoint:
    """A checkpoint of TensorFlow 1, whose variables are read one by one.

    Args:
        path: The checkpoint, such as `bert_model.ckpt`, or a directory whose file
            `checkpoint` names the latest one.

    Attributes:
        path: The checkpoint.
        shapes: Name -> shape of the variables, without the optimizer's.

    Raises:
        UserError: The checkpoint is missing or damaged.
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
        """Read the value of a variable.

        Raises:
            UserError: The value cannot be read or is not finite float32.
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


# Heads of pre-training.
_OUTSIDE = "cls/"


def convert_google_bert(
    checkpoint_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    checkpoint: str = "bert_model.ckpt",
    lowercase: bool | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Convert a BERT of Google's to a preset.

    Args:
        checkpoint_dir: Directory with `bert_config.json`, `vocab.txt` and the
            checkpoint, as in Google's archives.
        output_dir: A new directory.
        checkpoint: Name of the checkpoint.
        lowercase: Whether to lower-case texts; by default the vocabulary decides, see
            `infer_lowercase`.
        say: Called with a line for each decision.

    Raises:
        UserError: A file is missing or damaged, the activation is not a GELU, a
            variable is missing, unknown or of another shape, or the directory exists
            or cannot be written.
    """
    folder = Path(checkpoint_dir)
    config = read_json(folder / "bert_config.json")
    # Google's `gelu` is the tanh form (modeling.py, line 264).
    act = config.get("hidden_act", "gelu")
    cls = backbone_class(act, keras_hub.models.BertBackbone)
    vocabulary = read_vocabulary(folder / "vocab.txt")
    if lowercase is None:
        lowercase = infer_lowercase(vocabulary, say)
    variables = Tf1Checkpoint(folder / checkpoint)
    say(f"hidden_act={act!r}: the tanh form of GELU, as in Google's code")
    sizes = read_sizes(config, say)
    check_sizes(sizes, variables.shapes, hugging_face=False)
    write_preset(
        cls,
        sizes,
        lambda backbone: _values(backbone, variables),
        vocabulary,
        lowercase,
        output_dir,
    )


def _values(backbone: Any, checkpoint: Tf1Checkpoint) -> dict[str, np.ndarray]:
    wanted = bert_tensors(backbone)
    check_names(
        [t.google for t in wanted],
        [name for name in checkpoint.shapes if not name.startswith(_OUTSIDE)],
        "The checkpoint's variables must be exactly those of a BERT with its pooler.",
    )
    return {t.path: t.from_google(checkpoint.read(t.google), t.google) for t in wanted}
