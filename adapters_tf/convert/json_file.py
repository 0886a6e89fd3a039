"""Reading the configurations of other libraries."""

import json
from pathlib import Path
from typing import Any

from adapters_tf.errors import UserError


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: The file.
        missing: What to return where there is no such file.

    Raises:
        UserError: if it is not there, or holds no JSON object.
    """
    if missing is not None and not path.exists():
        return missing
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        held = ""
        if path.parent.is_dir():
            names = sorted(p.name for p in path.parent.iterdir())[:10]
            held = f"; the directory holds {names}"
        raise UserError(
            f"{str(path)!r} could not be read: {error.strerror or error}{held}"
        ) from error
    except (ValueError, RecursionError) as error:
        # RecursionError: thousands of brackets inside one another.
        raise UserError(f"{str(path)!r} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise UserError(
            f"{str(path)!r} must hold a JSON object. Received: a {type(value).__name__}"
        )
    return value


def field(config: dict[str, Any], name: str, kind: type[Any], where: str) -> Any:
    """A field that must be there and of this type.

    Args:
        config: A configuration.
        name: The field.
        kind: Its type, such as `int`, which then is 1 or more.
        where: What the error calls the configuration.

    Raises:
        UserError: if it is not.
    """
    value: Any = config.get(name)
    if type(value) is not kind or (kind is int and value < 1):
        raise UserError(
            f"{where} must have the field {name}, a "
            f"{'positive whole number' if kind is int else kind.__name__}. Received: "
            f"{name}={value!r}"
        )
    return value


def rate(config: dict[str, Any], name: str, default: float) -> float:
    """A rate of dropout.

    Args:
        config: A configuration.
        name: The field.
        default: What it is where it is not there.

    Raises:
        UserError: if it is not a number from 0 to below 1.
    """
    value = config.get(name, default)
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise UserError(
            f"{name} must be a number from 0 to below 1. Received: {name}={value!r}"
        )
    return float(value)
