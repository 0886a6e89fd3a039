"""What must be set before TensorFlow is imported."""

import os


def quiet_tensorflow() -> None:
    """Keep TensorFlow's start-up notes off the terminal; errors still show."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
