"""What the tests of several benchmarks need."""

import pytest


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
