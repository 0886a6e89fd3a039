"""`adapters-tf-train` in a process of its own."""

import os
import sys

# That of this interpreter, wherever its scripts were installed.
TRAIN_PROGRAM = (
    sys.executable,
    "-P",
    "-c",
    "from adapters_tf.bin.train import cli; cli()",
)


def quiet_environment() -> dict[str, str]:
    """This process's environment, with TensorFlow's log off."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
