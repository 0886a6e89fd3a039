"""Running the programs in this process."""

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
