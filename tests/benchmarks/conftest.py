"""What the tests of several benchmarks need."""

import pytest
from small_data import make_preset


@pytest.fixture(scope="session")
def small_preset(shared_artefact):
    """Directory of a base of one block, for jobs whose numbers nobody judges."""

    def make(directory):
        make_preset(directory, seed=1, num_layers=1)

    return str(shared_artefact("one_block_preset", make))


@pytest.fixture
def numbers():
    """Function: all numbers of a JSON value."""

    def find(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [number for item in value for number in find(item)]
        return [value] if isinstance(value, int | float) else []

    return find
