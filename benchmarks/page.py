"""Job `page`: fill the marked places of a Markdown page from the jobs' results."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters_tf.bin.program import Groups, SubJob, require
from adapters_tf.errors import UserError
from benchmarks import data as pipeline
from benchmarks import faults, reuse, scaling, steps, strategies, time_to_quality
from benchmarks import serving_tables as serving
from benchmarks.report import table

Result = dict[str, Any]

BARS = "bars"
# Of a result's headings, whose first one is left out, below the page's own.
_DEEPER = "##"
_PLACE = re.compile(
    r"^<!-- measured: (?P<name>.*?) -->\n.*?^<!-- end -->$", re.M | re.S
)
_BEGIN = re.compile(r"^<!-- measured: .*-->$", re.M)


def _steps(result: Result) -> str:
    return steps.as_markdown(result["benchmark"], result)


# Of each job, in the order of the table of bars.
_TABLES: Mapping[str, Callable[[Result], str]] = {
    "training": _steps,
    "inference": _steps,
    "cache": _steps,
    "memory": _steps,
    "data": pipeline.as_markdown,
    "time_to_quality": time_to_quality.as_markdown,
    "scaling": scaling.as_markdown,
    "reuse": reuse.as_markdown,
    "serving": serving.as_markdown,
    "strategies": strategies.as_markdown,
    "faults": faults.as_markdown,
}


def read_results(directory: Path) -> list[Result]:
    """The results in a folder's JSON files, in the order of the files' names.

    Raises:
        UserError: if there is no such folder, or a file is no benchmark's result.
    """
    if not directory.is_dir():
        raise UserError(
            f"--results must be a folder of results. Received: {str(directory)!r}"
        )
    results = []
    for path in sorted(directory.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} could not be read as JSON: {error}") from error
        if not isinstance(result, dict) or result.get("benchmark") not in _TABLES:
            raise UserError(
                "A result must be a file that one of the benchmarks wrote: "
                f"{', '.join(_TABLES)}. Received: {path}"
            )
        results.append(result)
    return results


def fill_page(text: str, results: Sequence[Result]) -> str:
    """A page whose marked places hold what was measured, and all else what it held.

    A place begins with a line `<!-- measured: NAME -->` and ends with `<!-- end -->`.
    NAME is a job, whose results follow one another, or `bars`: what all results were
    to reach, and whether they did.

    Args:
        text: The page, new or filled before.
        results: From `read_results`.

    Raises:
        UserError: if it has no place, one without an end or of an unknown name.
    """
    places = list(_PLACE.finditer(text))
    if len(places) != len(_BEGIN.findall(text)) or not places:
        raise UserError(
            "A page must have places that begin with a line `<!-- measured: NAME -->` "
            f"and end with a line `<!-- end -->`. Received: {len(places)} such places "
            f"and {len(_BEGIN.findall(text))} beginnings"
        )

    def fill(place: re.Match[str]) -> str:
        name = place["name"]
        if name != BARS and name not in _TABLES:
            raise UserError(
                f"A place must be {BARS} or one of {', '.join(_TABLES)}. Received: "
                f"{name}"
            )
        if name == BARS:
            found = _bars(results)
        else:
            own = [result for result in results if result["benchmark"] == name]
            found = "\n\n".join(_body(_TABLES[name](result)) for result in own)
        found = found or "*No run is kept.*"
        return f"<!-- measured: {name} -->\n\n{found}\n\n<!-- end -->"

    return _PLACE.sub(fill, text)


def _body(markdown: str) -> str:
    """Without the first heading, the others two levels deeper."""
    lines = markdown.strip().splitlines()[1:]
    lines = [f"{_DEEPER}{line}" if line.startswith("#") else line for line in lines]
    return "\n".join(lines).strip()


def _bars(results: Sequence[Result]) -> str:
    rows = []
    for job in _TABLES:
        for result in results:
            if result["benchmark"] == job:
                rows += [[job, *_bar(goal)] for goal in result.get("goals", ())]
    if not rows:
        return ""
    return table(["", "ratio", "limit", "goal", "found", "met"], rows)


def _bar(goal: dict[str, Any]) -> list[str]:
    value = goal["value"]
    return [
        goal["name"],
        f"at {goal.get('kind', 'most')} {_number(goal['limit'])}",
        _number(goal["goal"]) if "goal" in goal else "",
        "never" if value is None else _number(value),
        "yes" if goal["met"] else "**no**",
    ]


def _number(value: float) -> str:
    small = value and abs(value) < 1e-3
    return f"{value:.1e}" if small else f"{value:.2f}"


def define() -> Groups:
    """The flags of `page`."""
    g = Groups(
        "Fills the marked places of a page from the JSON files of the other jobs.\n"
        "  python benchmarks/run.py page --results=docs/results/benchmarks \\\n"
        "      --output=docs/performance.md"
    )
    g.group("What is written")
    g.string("results", None, "folder of the JSON files")
    g.string("output", None, "Markdown page with places, rewritten; see the docs")
    return g


def main(flags: Any) -> None:
    """Read, fill and write."""

    require(flags, "results", "output")
    page = Path(flags.output)
    if not page.is_file():
        raise UserError(f"--output must be a page that is there. Received: {str(page)}")
    results = read_results(Path(flags.results))
    text = fill_page(page.read_text(encoding="utf-8"), results)
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{page} could not be written: {error.strerror}") from error
    print(f"{page}: {len(results)} results")


JOB = SubJob("page", "a page of what the other jobs wrote", define, main)
