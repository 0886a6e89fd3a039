"""Job `live`: tasks that are files, beside tasks in memory."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError, check_counts
from adapters_tf.export.base import export_base
from adapters_tf.export.servable import (
    MIXED,
    LoadedBase,
    ServableOptions,
    save_version,
)
from adapters_tf.export.session import ServingSession
from adapters_tf.export.task_file import task_bytes
from adapters_tf.export.task_folder import task_path
from adapters_tf.export.task_layout import TaskLayout
from adapters_tf.preset_names import resolve_preset
from benchmarks.report import (
    check_output,
    describe_machine,
    machine_line,
    megabytes,
    milliseconds,
    output_flag,
    print_report,
    table,
    whole_numbers,
)
from benchmarks.serving_build import RandomTasks
from benchmarks.serving_measure import mixed_inputs
from benchmarks.texts import SENTENCES

# Tasks that differ; the files of the others are copies of theirs.
_DIFFERENT = 64
# Rows of a call that asks for every task once.
_ROWS_OF_TOUR = 16
_FIRST_ANSWERS = 30


def measure_live(
    preset: str,
    tasks: int,
    in_memory: int,
    bottleneck_dim: int,
    seq_length: int,
    rows: Sequence[int],
    calls: int,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure memory, first answers and latency, in a session as a server's.

    Args:
        preset: The base.
        tasks: Number of task files.
        in_memory: Tasks of the servable that holds them in memory.
        bottleneck_dim: Units of every adapter.
        seq_length: Tokens to which texts are cut.
        rows: Rows of the calls, whose tasks are drawn by Zipf's law with exponent 1.
        calls: Calls of each servable for each number of rows; they take turns.
        say: Called with a line when something begins that takes a while.

    Returns:
        See docs/benchmarks.md.
    """
    options = {
        "preset": preset,
        "tasks": tasks,
        "in_memory": in_memory,
        "bottleneck_dim": bottleneck_dim,
        "seq_length": seq_length,
        "calls": calls,
    }
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="adapters-tf-benchmark-") as scratch:
        live, fixed, size = _build(Path(scratch), options, say)
        say(f"memory: asking {tasks} tasks once each")
        with ServingSession(live / "1") as session:
            memory = _measure_memory(session, tasks)
            say("the first answers of new tasks")
            first = _measure_first_answers(session, live, tasks)
            with ServingSession(fixed / "1") as other:
                latency = []
                for count in rows:
                    say(f"latency of {count} rows")
                    found = _measure_latency(session, other, options, count)
                    latency.append({"rows": count, **found})
    return {
        "benchmark": "live",
        "machine": machine,
        "options": options | {"different_tasks": min(tasks, _DIFFERENT)},
        "task_bytes": size,
        "memory": memory,
        "first_answer_seconds": first,
        "latency": latency,
    }


def _build(
    scratch: Path, options: dict[str, Any], say: Callable[[str], None]
) -> tuple[Path, Path, int]:
    """Write a live servable and one in memory; return them and a task's bytes."""
    say(f"the base of {options['preset']} and {options['tasks']} task files")
    preset = resolve_preset(options["preset"])
    length = options["seq_length"]
    random_tasks = RandomTasks(preset, options["bottleneck_dim"], length)
    export_base(preset, scratch / "base", length)
    base = LoadedBase(scratch / "base")
    layout, files = TaskLayout(base.layout), []
    live, fixed = scratch / "live", scratch / "fixed"
    different = max(min(options["tasks"], _DIFFERENT), options["in_memory"])
    exported = [random_tasks.exported(index) for index in range(different)]
    files = [task_bytes(task, layout) for task in exported]
    save_version(base, {}, live / "1", ServableOptions(False, live=True))
    for index in range(options["tasks"]):
        path = task_path(live, random_tasks.name(index))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(files[index % different])
    own = exported[: options["in_memory"]]
    named = {random_tasks.name(index): task for index, task in enumerate(own)}
    save_version(base, named, fixed / "1", ServableOptions(False))
    return live, fixed, len(files[0])


def _names(indices: Sequence[int]) -> list[str]:
    return [f"task_{index}" for index in indices]


def _ask(session: ServingSession, names: Sequence[str], first: int = 0) -> None:
    """Run one batch; every row must be answered."""
    texts = [SENTENCES[(first + i) % len(SENTENCES)] for i in range(len(names))]
    status = session.run(MIXED, mixed_inputs(texts, names))["status"]
    if set(status.tolist()) != {b"ok"}:
        raise UserError(f"All tasks must be answered. Received: {sorted(set(status))}")


def _measure_memory(session: ServingSession, tasks: int) -> dict[str, int]:
    one = _names([0] * _ROWS_OF_TOUR)
    for turn in range(20):
        _ask(session, one, turn)
    before = _resident_bytes()
    for start in range(0, tasks, _ROWS_OF_TOUR):
        last = min(start + _ROWS_OF_TOUR, tasks)
        _ask(session, _names(range(start, last)), start)
    return {"one_task": before, "all_tasks": _resident_bytes()}


def _measure_first_answers(
    session: ServingSession, live: Path, tasks: int
) -> list[float]:
    """Return the seconds from a file's rename to its task's first answer."""
    _ask(session, _names([0]))
    content, found = task_path(live, "task_0").read_bytes(), []
    for index in range(tasks, tasks + _FIRST_ANSWERS):
        hidden = live / "tasks" / ".new"
        hidden.write_bytes(content)
        start = time.perf_counter()
        os.rename(hidden, task_path(live, f"task_{index}"))
        _ask(session, _names([index]), index)
        found.append(time.perf_counter() - start)
    return found


def _measure_latency(
    live: ServingSession, fixed: ServingSession, options: dict[str, Any], rows: int
) -> dict[str, dict[str, float]]:
    random = np.random.default_rng(rows)
    ways = {"live": (live, "tasks"), "in_memory": (fixed, "in_memory")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    warmup = 10
    for turn in range(warmup + options["calls"]):
        for name, (session, count) in ways.items():
            wanted = _names(zipf(random, options[count], rows).tolist())
            start = time.perf_counter()
            _ask(session, wanted, turn)
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return {
        name: {f"p{q}": float(np.percentile(values, q)) for q in (50, 95, 99)}
        for name, values in seconds.items()
    }


def zipf(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draw `size` indices below `count`: index i with a chance of 1 to i + 1."""
    weights = 1 / np.arange(1, count + 1)
    return random.choice(count, size=size, p=weights / weights.sum())


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# === Tables ===


def as_markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    options, memory = result["options"], result["memory"]
    first = np.array(result["first_answer_seconds"])
    quantiles = ("p50", "p95", "p99")
    rows = []
    for one in result["latency"]:
        cells = [
            milliseconds(one[w][q]) for w in ("live", "in_memory") for q in quantiles
        ]
        ratios = [f"{one['live'][q] / one['in_memory'][q]:.2f}x" for q in quantiles]
        rows.append([str(one["rows"]), *cells, *ratios])
    columns = [
        "rows",
        *(f"{way} {q}, ms" for way in ("live", "in memory") for q in quantiles),
        *(f"ratio {q}" for q in quantiles),
    ]
    growth = memory["all_tasks"] - memory["one_task"]
    return (
        "# Live tasks\n\n"
        f"{machine_line(result['machine'])}. Base {options['preset']}, bottleneck "
        f"{options['bottleneck_dim']}: {options['tasks']:,} task files of "
        f"{megabytes(result['task_bytes'])} MB ({options['different_tasks']} different "
        f"ones), beside {options['in_memory']} tasks in memory.\n\n"
        f"- Memory after one task: {megabytes(memory['one_task'])} MB; with every task "
        f"asked for once: {'+' if growth >= 0 else '-'}{megabytes(abs(growth))} MB.\n"
        f"- From the rename of a new file to its first answer: median "
        f"{milliseconds(float(np.median(first)))} ms, longest "
        f"{milliseconds(float(first.max()))} ms, of {len(first)}.\n\n"
        f"Tasks are drawn by Zipf's law, exponent 1; {options['calls']} calls of "
        f"each.\n\n{table(columns, rows)}\n"
    )


# === Command line ===


def define() -> Groups:
    """The flags of `live`."""
    g = Groups(
        "Measures a live servable: memory, first answers, latency beside tasks in "
        "memory.\n"
        "  python benchmarks/run.py live --output=live.json"
    )
    g.group("What is run")
    g.string("preset", "demo", "the base")
    g.integer("tasks", 10000, "task files")
    g.integer("in_memory", 16, "tasks of the other servable")
    g.integer("bottleneck_dim", 16, "units of an adapter's bottleneck")
    g.integer("seq_length", 128, "tokens that texts are cut to")
    g.strings("rows", ["1", "16"], "rows of the calls")
    g.integer("calls", 500, "calls of each servable")
    output_flag(g)
    return g


def main(flags: Any) -> None:
    """Measure, print and write."""
    check_output(flags.output)
    check_counts(flags, "tasks", "in_memory", "bottleneck_dim", "seq_length", "calls")
    rows = whole_numbers("rows", flags.rows)
    result = measure_live(
        flags.preset,
        flags.tasks,
        flags.in_memory,
        flags.bottleneck_dim,
        flags.seq_length,
        rows,
        flags.calls,
    )
    print_report(flags.output, result, as_markdown(result))


JOB = SubJob("live", "tasks that are files, beside tasks in memory", define, main)
