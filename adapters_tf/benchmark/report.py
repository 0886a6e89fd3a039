"""A measurement as JSON and as Markdown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.io import write_json


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [list(columns), ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def milliseconds(seconds: float) -> str:
    """Such as `"12.3"`."""
    return f"{1000 * seconds:.1f}"


def megabytes(size: float) -> str:
    """Such as `"12.34"`, of 10^6 bytes."""
    return f"{size / 1e6:.2f}"


def bar(
    name: str, kind: str, limits: tuple[float, float], value: float | None
) -> dict[str, Any]:
    """A value beside what it was to reach, for JSON.

    Args:
        name: What was measured.
        kind: `"most"` or `"least"`: the limit is the most or the least that it may be.
        limits: The limit, and what was hoped for.
        value: What was found; `None` where it was not reached at all.

    Returns:
        `name`, `kind`, `limit`, `goal`, `value` and `met`.
    """
    limit, goal = limits
    met = False
    if value is not None:
        met = value <= limit if kind == "most" else value >= limit
    return {
        "name": name,
        "kind": kind,
        "limit": limit,
        "goal": goal,
        "value": value,
        "met": met,
    }


def limits_table(goals: Sequence[dict[str, Any]], what: str = "") -> str:
    """Results of `bar` as a table, its first column headed `what`."""
    rows = [
        [
            goal["name"],
            f"at {goal['kind']} {goal['limit']:.2f}",
            f"{goal['goal']:.2f}",
            "never" if goal["value"] is None else f"{goal['value']:.2f}",
            "yes" if goal["met"] else "**no**",
        ]
        for goal in goals
    ]
    return table([what, "limit", "goal", "found", "met"], rows)


def check_output(path: str | None) -> None:
    """Refuse a name that the report cannot be written to, before the long work.

    Raises:
        UserError: if it does not end in .json, is in use or its folder is missing.
    """
    if path is None:
        return
    output = Path(path)
    if output.suffix != ".json":
        raise UserError(
            "--output names a .json file; the tables go beside it, into a .md file. "
            f"Received: {path!r}"
        )
    for name in (output, output.with_suffix(".md")):
        if name.exists():
            raise UserError(f"--output must be a new file. {str(name)!r} exists.")
    if not output.parent.is_dir():
        raise UserError(
            f"--output must be in a folder that is there. Received: {path!r}"
        )


def write_report(path: str, result: dict[str, Any], markdown: str) -> None:
    """Write the JSON file, and the Markdown beside it.

    Args:
        path: Of the JSON file; see `check_output`.
        result: What was measured.
        markdown: The same as tables.

    Raises:
        UserError: if one of them cannot be written.
    """
    output = Path(path)
    write_json(output, result)
    try:
        output.with_suffix(".md").write_text(markdown, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path!r} could not be written: {error.strerror}") from error
