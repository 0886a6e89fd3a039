"""What must be set before TensorFlow is imported."""

import os


def quiet_tensorflow() -> None:
    """Keep the notes of TensorFlow's C++ side off the terminal.

    Its level 2 still reports that a machine without a GPU has no driver. What
    fails is raised as a Python exception in any case.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
