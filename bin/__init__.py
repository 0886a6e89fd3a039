"""The programs: one module each, run as `adapters-tf-<module>` once installed."""

import os

# Before any of them imports TensorFlow: its C++ side would write start-up notes to
# the terminal, at level 2 still that a machine without a GPU has no driver. What
# fails is raised as a Python exception in any case.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
