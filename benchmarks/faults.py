"""Job `faults`: kill training runs at random moments and compare what they end in."""

import dataclasses
import hashlib
import json
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError, check_counts
from adapters_tf.training.checkpoints import find_checkpoints
from adapters_tf.training.run_dir import CHECKPOINT_DIR, HISTORY_FILE, METRICS_FILE
from benchmarks.processes import TRAIN_PROGRAM, quiet_environment
from benchmarks.report import (
    check_output,
    describe_machine,
    machine_line,
    output_flag,
    print_report,
    table,
    value_or_quick,
)
from benchmarks.texts import SENTENCES

_QUICK_FAULTS = {"kills": 2, "rows": 90, "epochs": 2}

# What must be the same to the byte at the end.
COMPARED = (
    "adapter/adapter.safetensors",
    "best_adapter/adapter.safetensors",
    HISTORY_FILE,
)
_DEADLINE = 1800.0


@dataclasses.dataclass(frozen=True)
class FaultOptions:
    """What is run and how often it is killed.

    Attributes:
        preset: The base.
        kills: How many times a process is killed.
        rows: Training rows.
        epochs: Epochs of a run.
        checkpoint_interval: Steps between two checkpoints.
        seed: Of the moments.
        flags: More flags of `adapters-tf-train`.
    """

    preset: str = "demo"
    kills: int = 20
    rows: int = 180
    epochs: int = 4
    checkpoint_interval: int = 5
    seed: int = 0
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_counts(self, "kills", "rows", "epochs", "checkpoint_interval")


def train_command(options: FaultOptions, rows: Path, output_dir: Path) -> list[str]:
    """The command of a run: `adapters-tf-train` of this interpreter."""
    return [
        *TRAIN_PROGRAM,
        f"--preset={options.preset}",
        f"--train_file={rows}",
        f"--epochs={options.epochs}",
        "--batch_size=16",
        "--seq_length=32",
        "--steps_per_loop=2",
        f"--checkpoint_interval={options.checkpoint_interval}",
        f"--output_dir={output_dir}",
        *options.flags,
    ]


def write_rows(path: Path, count: int) -> None:
    """A CSV file of built-in texts with two classes."""
    lines = ["text,label"]
    for i in range(count):
        lines.append(f'"{SENTENCES[i % len(SENTENCES)]} {i}",{("no", "yes")[i % 2]}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of what must not differ, and of the metrics without their speed."""
    found = {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in COMPARED
    }
    metrics = json.loads((run / METRICS_FILE).read_text(encoding="utf-8"))
    del metrics["examples_per_second"]
    text = json.dumps(metrics, sort_keys=True)
    return found | {METRICS_FILE: hashlib.sha256(text.encode()).hexdigest()}


def measure_faults(
    options: FaultOptions, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Kill runs at random moments, start them again, and compare their results.

    One run is left alone. The others are killed with SIGKILL at moments drawn
    evenly from the time that it took, and started again with the same command
    until they end; then the next one begins, until there were enough kills.

    Args:
        options: What to run.
        say: Called with a line after each kill and each end.

    Returns:
        See docs/benchmarks.md.

    Raises:
        UserError: if a run fails for another reason than that it was killed.
    """
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="adapters-tf-benchmark-") as scratch:
        return {
            "benchmark": "faults",
            "machine": machine,
            "options": dataclasses.asdict(options),
            **_measure(options, Path(scratch), say),
        }


def _measure(
    options: FaultOptions, scratch: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    moments = random.Random(options.seed)
    rows = scratch / "rows.csv"
    write_rows(rows, options.rows)
    whole = scratch / "whole"
    start = time.monotonic()
    _run(train_command(options, rows, whole), None, whole)
    seconds = time.monotonic() - start
    say(f"uninterrupted: {seconds:.0f} s")
    expected = digests(whole)
    kills: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    run = scratch / "run"
    while True:
        left = len(kills) < options.kills
        delay = moments.uniform(0, seconds) if left else None
        if _run(train_command(options, rows, run), delay, run):
            same = digests(run) == expected
            own = len(kills) - sum(one["kills"] for one in ended)
            ended.append({"kills": own, "identical": same})
            say(f"run {len(ended)} ended after {own} kill(s), identical: {same}")
            shutil.rmtree(run)
            if not left:
                break
        else:
            found = find_checkpoints(run / CHECKPOINT_DIR)
            step = int(found[-1].rsplit("-", 1)[1]) if found else 0
            kills.append({"after_seconds": delay, "newest_checkpoint": step})
            say(f"kill {len(kills)} after {delay:.1f} s, at checkpoint {step}")
    return {"uninterrupted_seconds": seconds, "kills": kills, "runs": ended}


def _run(command: list[str], kill_after: float | None, run: Path) -> bool:
    """Run; kill it after some seconds if it has not ended. Whether it has finished.

    Raises:
        UserError: if it failed by itself.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=quiet_environment(),
    )
    try:
        _, errors = process.communicate(timeout=kill_after or _DEADLINE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if kill_after is None:
            raise UserError(f"A run took more than {_DEADLINE:.0f} seconds.") from None
        # It may have been killed when all was written.
        return (run / METRICS_FILE).exists()
    if process.returncode:
        raise UserError(
            f"A run failed with exit code {process.returncode}: "
            f"{errors.strip()[-1500:]}"
        )
    return True


def as_markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    options = result["options"]
    rows = [
        [str(number), str(run["kills"]), "yes" if run["identical"] else "NO"]
        for number, run in enumerate(result["runs"], 1)
    ]
    steps = [kill["newest_checkpoint"] for kill in result["kills"]]
    return (
        "# Faults\n\n"
        f"{machine_line(result['machine'])}. Base {options['preset']}; "
        f"{options['rows']} rows, {options['epochs']} epochs, a checkpoint every "
        f"{options['checkpoint_interval']} steps. {len(steps)} kills (SIGKILL) at "
        "random moments; the newest checkpoints were then those of the steps "
        f"{', '.join(map(str, steps))} (0: none yet). Compared with an uninterrupted "
        f"run, by SHA-256: {', '.join(COMPARED)}, and {METRICS_FILE} without its "
        "examples_per_second.\n\n"
        f"{table(['run', 'kills', 'identical'], rows)}\n"
    )


# === Command line ===


def define() -> Groups:
    """The flags of `faults`."""
    g = Groups(
        "Kills training runs at random moments, and compares what they end in.\n"
        "  python benchmarks/run.py faults --kills=20 --output=faults.json"
    )
    g.group("What is run")
    g.string("preset", "demo", "the base")
    g.integer("kills", 20, "how many times a process is killed")
    g.integer("rows", 180, "rows of the file")
    g.integer("epochs", 4, "epochs of a run")
    g.integer("checkpoint_interval", 5, "steps between two checkpoints")
    g.integer("seed", 0, "of the moments")
    g.boolean("quick", False, "fewer kills of shorter runs, to see that it works")
    output_flag(g)
    return g


def main(flags: Any) -> None:
    """Measure, print and write."""
    check_output(flags.output)
    names = ("preset", "kills", "rows", "epochs", "checkpoint_interval", "seed")
    values = {name: value_or_quick(flags, name, _QUICK_FAULTS) for name in names}
    result = measure_faults(FaultOptions(**values))
    print_report(flags.output, result, as_markdown(result))


JOB = SubJob("faults", "killed runs that are continued", define, main)
