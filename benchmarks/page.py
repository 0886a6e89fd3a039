"""Job `page`: fill the marked places of a Markdown page from the jobs' results."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters_tf.bin.program import Groups, SubJob, require
from adapters_tf.errors import UserError
from benchmarks import data as pipeline
from benchmarks import (
    faults,
    live,
    load_report,
    reuse,
    scaling,
    steps,
    strategies,
    time_to_quality,
)
from benchmarks import serving_tables as serving
from benchmarks.report import Ratio, table

Result = dict[str, Any]

SUMMARY = "summary"
# Put before a result's headings, so that they stand below the page's own.
_DEEPER = "##"
_PLACE = re.compile(
    r"^<!-- measured: (?P<name>.*?) -->\n.*?^<!-- end -->$", re.M | re.S
)
_BEGIN = re.compile(r"^<!-- measured: .*-->$", re.M)


def _steps(result: Result) -> str:
    return steps.as_markdown(result["benchmark"], result)


# Job -> its tables, in the order of the summary.
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
    "live": live.as_markdown,
    "strategies": strategies.as_markdown,
    "faults": faults.as_markdown,
    "load": load_report.as_markdown,
}
# Job -> its lines of the summary.
_RATIOS: Mapping[str, Callable[[Result], Sequence[Ratio]]] = {
    **dict.fromkeys(("training", "inference", "cache", "memory"), steps.find_ratios),
    "data": pipeline.find_ratios,
    "time_to_quality": time_to_quality.find_ratios,
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
    """Fill the marked places of a page; the rest of the page stays as it is.

    A place begins with a line `<!-- measured: NAME -->` and ends with `<!-- end -->`.
    NAME is a job, for the tables of all its results, or `summary`, for one table of
    the ratios from the results of all jobs.

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
        if name != SUMMARY and name not in _TABLES:
            raise UserError(
                f"A place must be {SUMMARY} or one of {', '.join(_TABLES)}. Received: "
                f"{name}"
            )
        if name == SUMMARY:
            found = _summary(results)
        else:
            own = [result for result in results if result["benchmark"] == name]
            found = "\n\n".join(_body(_TABLES[name](result)) for result in own)
        found = found or "*No results yet.*"
        return f"<!-- measured: {name} -->\n\n{found}\n\n<!-- end -->"

    return _PLACE.sub(fill, text)


def _body(markdown: str) -> str:
    """Without the first heading, the others two levels deeper."""
    lines = markdown.strip().splitlines()[1:]
    lines = [f"{_DEEPER}{line}" if line.startswith("#") else line for line in lines]
    return "\n".join(lines).strip()


def _summary(results: Sequence[Result]) -> str:
    rows = [
        [ratio.what, ratio.setting, _number(ratio.value)]
        for job, find_ratios in _RATIOS.items()
        for result in results
        if result["benchmark"] == job
        for ratio in find_ratios(result)
    ]
    return table(["ratio", "setting", "measured"], rows) if rows else ""


def _number(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.2f}"


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
    """Read, fill and write; draw what the page shows of `load`."""

    require(flags, "results", "output")
    page = Path(flags.output)
    if not page.is_file():
        raise UserError(f"--output must be a page that is there. Received: {str(page)}")
    directory = Path(flags.results)
    results = read_results(directory)
    text = fill_page(page.read_text(encoding="utf-8"), results)
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{page} could not be written: {error.strerror}") from error
    for result in results:
        if result["benchmark"] == "load":
            load_report.draw(result, directory / "load")
    print(f"{page}: {len(results)} results")


JOB = SubJob("page", "a page of what the other jobs wrote", define, main)
