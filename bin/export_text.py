"""The output texts of adapters-tf-export."""

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from adapters_tf.export.describe import size_by_file
from adapters_tf.export.summary import ServableSummary, TaskSummary

CHECKED = "equal to the model in memory, in a new process, to 1e-5"
_LABELS_WIDTH = 28


@contextlib.contextmanager
def timed(what: str) -> Iterator[Callable[[str], None]]:
    """Print the start of a step; the block calls the yielded function with the result.

    Args:
        what: The step, such as `"Writing the base of 'demo' to B"`.
    """
    print(f"{what} ...", flush=True)
    start = time.monotonic()

    def done(result: str) -> None:
        print(f"{result}  ({time.monotonic() - start:.1f} s)", flush=True)

    yield done


def say_next(title: str, *words: str) -> None:
    """Print a suggestion for the next command.

    Args:
        title: What the command does.
        *words: The command's words; those in capitals or with `=` and `[` are not
            quoted.
    """
    print(f"\n{title}:\n  {' '.join(words)}")


def flag(name: str, value: str) -> str:
    """Return `--name=value`, quoted for a shell."""
    return f"--{name}={shlex.quote(value)}"


def megabytes(size: int) -> str:
    """Format a number of bytes, such as `"12.3 MB"`."""
    return f"{size / 1e6:.1f} MB"


def disk_size(directory: str) -> str:
    """Return `megabytes` of all files below a directory."""
    return megabytes(sum(size_by_file(Path(directory)).values()))


def servable_text(path: str, summary: ServableSummary) -> str:
    """Format a servable as a table."""
    versions = [
        f"{version} ({megabytes(size)})"
        for version, size in summary.version_bytes.items()
    ]
    lines = [
        f"servable  {path}",
        f"base      {summary.base_fingerprint}, {megabytes(summary.base_bytes)}",
        f"versions  {', '.join(versions)}; the base's weights not counted",
        f"on disk   {megabytes(summary.total_bytes)}; a file with several names "
        "counts once",
        "called by "
        + ("mixed_text, NAME_text, NAME" if summary.task_signatures else "mixed_text"),
        "",
    ]
    if summary.tasks or not summary.live:
        lines += [f"Tasks of version {summary.versions[-1]}:", *_table(summary.tasks)]
    if summary.live:
        count = len(summary.live_tasks)
        lines += [""] if summary.tasks else []
        lines += [f"Live tasks: {count}", *_table(summary.live_tasks)]
    if summary.damaged_tasks:
        names = ", ".join(summary.damaged_tasks)
        lines += ["", f"Damaged (adapters-tf-export verify says how): {names}"]
    return "\n".join(lines)


def _table(tasks: Sequence[TaskSummary]) -> list[str]:
    if not tasks:
        return []
    lines = []
    header = ("task", "kind", "labels", "bottleneck", "metric", "parameters", "size")
    rows = [header, *(_row(task) for task in tasks)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for row in rows:
        # Align numbers on the right.
        cells = [
            cell.rjust(width) if header[i] in _NUMBERS else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


_NUMBERS = ("bottleneck", "parameters", "size")


def _row(task: TaskSummary) -> tuple[str, ...]:
    metric = next(iter(task.metrics.items()), None)
    return (
        task.name,
        task.kind.replace("_", " "),
        _labels(task.labels),
        str(task.bottleneck_dim or "-"),
        f"{metric[0]} {metric[1]:.4f}" if metric else "-",
        f"{task.parameters:,}",
        megabytes(4 * task.parameters),
    )


def _labels(labels: tuple[str, ...]) -> str:
    text = ", ".join(labels) or "-"
    if len(text) <= _LABELS_WIDTH:
        return text
    count = f"... ({len(labels)})"
    return text[: _LABELS_WIDTH - len(count) - 1].rstrip(", ") + f" {count}"
