"""The directory of a search: whose it is, and what is known already.

Files are renamed into place when they are whole. One that is damaged all the same is
taken as missing.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.io import read_json, write_json

SETTINGS_FILE = "search.json"
RESULT_FILE = "baseline.json"
TRIALS_DIR = "trials"
TUNER_DIR = "keras_tuner"


def digest(value: Any) -> str:
    """A short name that no other JSON value has."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def claim(path: Path, settings: Mapping[str, Any]) -> None:
    """Make it the directory of one search, or go on with that one.

    Args:
        path: The directory, which is there.
        settings: What the search's result depends on, as JSON values.

    Raises:
        UserError: It holds a search of other settings.
    """
    try:
        known: Mapping[str, Any] = {**read_json(path / SETTINGS_FILE)}
    except (OSError, ValueError, TypeError):
        # Of whatever search the rest is, it is not known to be this one.
        (path / RESULT_FILE).unlink(missing_ok=True)
        shutil.rmtree(path / TRIALS_DIR, ignore_errors=True)
        known = settings
    changed = [
        f"{name} was {known.get(name)!r} and is {settings.get(name)!r}"
        for name in sorted({*known, *settings})
        if known.get(name) != settings.get(name)
    ]
    if changed:
        raise UserError(
            f"The directory {str(path)!r} holds a search of other settings "
            f"({'; '.join(changed)}). Give the same settings, or another directory."
        )
    write_json(path / SETTINGS_FILE, settings)


def read_record(path: Path, cls: Callable[..., Any]) -> Any:
    """What was written there; `None` where it is missing or damaged."""
    try:
        return cls(**read_json(path))
    except (OSError, ValueError, TypeError):
        return None
