"""Running the programs in this process."""

import contextlib
import sys

import pytest


@pytest.fixture
def call(monkeypatch):
    """Function: run a program with these arguments; returns its exit status."""

    def run(program, *args):
        monkeypatch.setattr(sys, "argv", [program.__name__, *args])
        try:
            program.cli()
        except SystemExit as stop:
            return stop.code
        return 0

    return run


@pytest.fixture(scope="module")
def without_self_checks():
    """Function: exports in its block are not compared in a new process.

    That is most of their time, and tests/export tests it.
    """

    @contextlib.contextmanager
    def without():
        with pytest.MonkeyPatch.context() as patch:
            for module in ("adapter", "base", "preprocessor", "versions"):
                name = f"adapters_tf.export.{module}.check_in_new_process"
                patch.setattr(name, lambda *args: None)
            yield

    return without
