"""Running the programs in this process."""

import contextlib

import pytest


@pytest.fixture(scope="module")
def without_self_checks():
    """Function: exports in its block are not compared in a new process.

    That is most of their time, and tests/export tests it.
    """

    @contextlib.contextmanager
    def without():
        with pytest.MonkeyPatch.context() as patch:
            for module in ("adapter", "base", "preprocessor", "versions"):
                name = f"adapters_tf.export.{module}.check_export"
                patch.setattr(name, lambda *args: None)
            yield

    return without
