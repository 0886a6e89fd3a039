"""The errors this library raises for input a person can mend.

All are `ValueError`s, so notebook code may catch that; the programs in `bin/`
catch `UserError` alone, print its text without a traceback and exit with a
code other than 0. Anything else that is raised is a fault of the program.
"""

import types
import typing
from collections.abc import Mapping
from typing import Any


class UserError(ValueError):
    """Input or configuration that the user can mend.

    The text states the rule, what came, and what would work.

    Attributes:
        exit_code: Exit code of a program that stops with this error.
    """

    exit_code = 2


class TryAgain(UserError):
    """The run was stopped from outside and goes on if it is started again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class DataError(UserError):
    """A data file, its columns or its values are not usable."""


class AdapterFileError(UserError):
    """An adapter directory is missing, corrupt, or made for another model."""


def check_counts(options: object, *names: str) -> None:
    """Refuse counts under 1.

    Args:
        options: What has the counts.
        *names: Its attributes that are counts.

    Raises:
        UserError: naming the first that is none.
    """
    for name in names:
        if (value := getattr(options, name)) < 1:
            raise UserError(f"{name} must be 1 or more. Received: {name}={value}")


def check_types(cls: type, values: Mapping[str, object]) -> None:
    """Refuse values that are not of the types of a dataclass's fields.

    Args:
        cls: The dataclass; its fields are texts, numbers, truth values, tuples of
            these, and `None`.
        values: Name of a field -> value, as from JSON; a list may stand for a tuple.

    Raises:
        UserError: naming the first that is not.
    """
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            hint = hints[name]
            words = str(hint if typing.get_origin(hint) else hint.__name__)
            raise UserError(f"{name} must be {words}. Received: {name}={value!r}")


def _fits(value: object, hint: Any) -> bool:
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, list | tuple) and all(
            _fits(item, arguments[0]) for item in value
        )
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)
