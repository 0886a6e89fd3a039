"""The programs: one module each, run as `adapters-tf-<module>` once installed."""

import os

# Set this before importing TensorFlow, whose C++ code prints start-up messages; even
# level 2 prints that a machine without a GPU has no driver. Failures still raise Python
# exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
