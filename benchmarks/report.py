"""What the jobs share: output files, tables, the machine, flags."""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from adapters_tf.bin.program import Groups
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


class Ratio(NamedTuple):
    """One line of the summary: a measurement divided by another.

    Attributes:
        setting: The model and batch, or the data set.
        what: The two measurements, such as `"step time, adapters / full fine-tuning"`.
        value: The first divided by the second; `None` if the first never ended.
    """

    setting: str
    what: str
    value: float | None


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


_LIBRARIES = ("adapters-tf", "tensorflow", "tensorflow-text", "keras", "keras-hub")
_CPU_INFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, system, load and versions, for JSON."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    now = datetime.datetime.now(datetime.UTC)
    return {
        "date": now.date().isoformat(),
        "processor": _processor(),
        "cores": _cores(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        # Of the last minute: how busy the machine was before the first call.
        "load_average": load,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
    }


def machine_line(machine: dict[str, Any]) -> str:
    """`describe_machine()` as a sentence for people, without its full stop."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    load = machine["load_average"]
    return (
        f"{machine['date']}; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}; load average before "
        f"{'unknown' if load is None else f'{load:.1f}'}; {versions}"
    )


def _processor() -> str:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gb() -> float | None:
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    return round(pages / 2**30, 1)


def value_or_quick(flags: Any, name: str, quick: dict[str, Any]) -> Any:
    """The flag's value; that of `quick` in place of its default with --quick."""
    if flags.quick and not flags[name].present:
        return quick.get(name, flags[name].value)
    return flags[name].value


def whole_numbers(name: str, values: list[str]) -> tuple[int, ...]:
    """A list flag's values as numbers."""
    try:
        return tuple(int(value) for value in values)
    except ValueError:
        raise UserError(
            f"--{name} takes whole numbers with commas between them. Received: "
            f"{','.join(values)}"
        ) from None


def output_flag(g: Groups) -> None:
    """Define --output."""
    g.group("Output")
    g.string("output", None, "JSON file; the tables go beside it, as .md [print only]")


def print_report(output: str | None, result: dict[str, Any], markdown: str) -> None:
    """Print the tables, and write both files if a name is given."""
    print(f"\n{markdown}", end="")
    if output:
        write_report(output, result, markdown)
