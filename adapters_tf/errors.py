"""The errors this library raises for input a person can mend.

Both are `ValueError`s, so notebook code may catch that; the programs in `bin/`
catch `UserError` alone, print its text without a traceback and exit with a
code other than 0. Anything else that is raised is a fault of the program.
"""


class UserError(ValueError):
    """Input or configuration that the user can mend.

    The text states the rule, what came, and what would work.

    Attributes:
        exit_code: What a program that it ends exits with.
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
