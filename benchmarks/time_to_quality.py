"""Job `time_to_quality`: from files to a dev metric, AdapterHub's example and ours."""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.bin.program import Groups, SubJob, require
from adapters_tf.data.examples import Examples, TaskData, rows_as
from adapters_tf.errors import UserError, check_counts
from adapters_tf.preset_names import resolve_preset
from adapters_tf.tasks.source import TaskSource
from adapters_tf.training.run_dir import HISTORY_FILE
from benchmarks import time_to_quality_peer as peer
from benchmarks.processes import TRAIN_PROGRAM, watch
from benchmarks.report import (
    Ratio,
    check_output,
    describe_machine,
    machine_line,
    output_flag,
    print_report,
    table,
)


def define() -> Groups:
    """The flags of `time_to_quality`."""
    g = Groups(
        "Times AdapterHub's example from files to its dev metric, and ours to the same."
        "\n  python benchmarks/run.py time_to_quality --peer_python=PYTHON \\\n"
        "      --data_dir=data --output=time_to_quality.json"
    )
    g.group("What is run")
    g.string("peer_python", None, "a Python with torch and adapters, see the docs")
    g.string("data_dir", None, "folder with the tasks' public files [TFDS]")
    g.strings("tasks", ["sst2", "mrpc", "sms_spam"], "tasks of classification")
    g.string("preset", "demo", "the base: demo, or a Hugging Face directory")
    g.integer("max_train_examples", 10000, "rows of each task, drawn at random")
    g.integer("epochs", 3, "ours")
    g.integer("peer_epochs", 3, "the peer's")
    output_flag(g)
    return g


def main(flags: Any) -> None:
    """Measure, print and write."""

    require(flags, "peer_python", "tasks")
    check_output(flags.output)
    options = QualityOptions(
        peer_python=flags.peer_python,
        data_dir=flags.data_dir,
        tasks=tuple(flags.tasks),
        preset=flags.preset,
        max_train_examples=flags.max_train_examples,
        epochs=flags.epochs,
        peer_epochs=flags.peer_epochs,
    )
    result = measure_time_to_quality(options)
    print_report(flags.output, result, as_markdown(result))


JOB = SubJob(
    "time_to_quality", "from files to a dev metric, beside the peer", define, main
)


# What both sides reach for: what the peer's script measures on files.
METRIC = "accuracy"
# The command for adapters in the README of AdapterHub's text classification example
# (adapters 1.3.0), but for its number of epochs, 10, and its seq_bn: `--peer_epochs` is
# the script's own default, and double_seq_bn is Houlsby's adapter. All else is as the
# script has it: padding to the longest input, AdamW, a linear decay without a warm-up.
PEER_RECIPE = {
    "learning_rate": 1e-4,
    "batch_size": 32,
    "seq_length": 128,
    "adapter_config": "double_seq_bn",
}
# A base in Hugging Face's format, which both sides can load.
_BASE_FILES = ("config.json", "model.safetensors", "tokenizer_config.json")


@dataclasses.dataclass(frozen=True)
class QualityOptions:
    """What is run.

    Attributes:
        peer_python: A Python with torch, adapters and accelerate.
        data_dir: The tasks' files; see `TaskSource`.
        tasks: Names of classification tasks.
        preset: `demo`, or a directory in Hugging Face's format.
        max_train_examples: Rows of each task, drawn at random; `None` for all.
        epochs: Ours.
        peer_epochs: The peer's.

    Raises:
        UserError: if a number is not positive, or there is no such Python.
    """

    peer_python: str
    data_dir: str | None = None
    tasks: tuple[str, ...] = ("sst2", "mrpc", "sms_spam")
    preset: str = "demo"
    max_train_examples: int | None = 10000
    epochs: int = 3
    peer_epochs: int = 3

    def __post_init__(self) -> None:
        check_counts(self, "epochs", "peer_epochs")
        if not shutil.which(self.peer_python):
            raise UserError(
                "peer_python must be a Python with torch, adapters and accelerate. It "
                f"could not be started. Received: {self.peer_python!r}"
            )


def measure_time_to_quality(
    options: QualityOptions, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run the peer and then ours on each task, each in a new process, from files.

    Both read the same JSON lines, which are written beforehand.

    Args:
        options: What.
        say: Called with a line before each run.

    Returns:
        See docs/benchmarks.md.

    Raises:
        UserError: if a task or the base cannot be loaded, or a run fails.
    """
    machine = describe_machine()
    base = Path(resolve_preset(options.preset))
    missing = [name for name in _BASE_FILES if not (base / name).is_file()]
    if missing:
        raise UserError(
            "preset must be demo, or a directory in Hugging Face's format, which the "
            f"peer can read too. Received: {options.preset!r}, without "
            f"{', '.join(missing)}"
        )
    sources = [
        TaskSource(
            name=name,
            data_dir=options.data_dir,
            max_train_examples=options.max_train_examples,
        )
        for name in options.tasks
    ]
    # All are read before the first long run.
    loaded = [_check(source.load()) for source in sources]
    settings = dataclasses.asdict(options)
    del settings["peer_python"], settings["data_dir"]
    result: dict[str, Any] = {
        "benchmark": "time_to_quality",
        "machine": machine,
        "options": settings,
        "metric": METRIC,
        "peer_recipe": {**PEER_RECIPE, "epochs": options.peer_epochs},
        "tasks": [],
    }
    for data in loaded:
        with tempfile.TemporaryDirectory(prefix="adapters-tf-benchmark-") as scratch:
            place = Path(scratch)
            for name in ("train", "dev"):
                write_rows(place / f"{name}.jsonl", data, getattr(data, name))
            say(f"{data.task.name}: {len(data.train):,} rows, the peer's run")
            its = _run_peer(options, base, data, place)
            result.setdefault("peer_versions", its.pop("versions"))
            say(f"{data.task.name}: {its[METRIC]:.4f} by the peer; our run")
            ours = _run_ours(options, data, place)
        result["tasks"].append(
            {
                "task": data.task.name,
                "train_rows": len(data.train),
                "dev_rows": len(data.dev),
                "majority": _majority(data),
                "peer": its,
                "ours": ours | {"reached": reached(ours["epochs"], its[METRIC])},
            }
        )
    return result


def reached(epochs: Sequence[dict[str, float]], target: float) -> dict[str, Any] | None:
    """The first of our epochs that is at least as good; `None` if none is."""
    for number, epoch in enumerate(epochs, 1):
        if epoch[METRIC] >= target:
            return {"epoch": number, "seconds": epoch["seconds"]}
    return None


def write_rows(path: Path, data: TaskData, rows: Examples) -> None:
    """Rows as JSON lines: the task's text columns, and `label`."""
    assert rows.labels is not None
    columns = [*rows.texts, [data.task.labels[i] for i in rows.labels]]
    names = (*data.task.text_columns, "label")
    with open(path, "w", encoding="utf-8") as file:
        for values in zip(*columns, strict=True):
            file.write(json.dumps(dict(zip(names, values, strict=True))) + "\n")


def _check(data: TaskData) -> TaskData:
    if data.task.kind != "classification":
        raise UserError(
            "Tasks must be of classification, whose accuracy is compared. Received: "
            f"{data.task.name}, {data.task.kind.replace('_', ' ')}"
        )
    return data


def _majority(data: TaskData) -> float:
    train, dev = (rows_as(Examples, rows).references for rows in (data.train, data.dev))
    return float(np.mean(dev == np.bincount(train).argmax()))


def _run_peer(
    options: QualityOptions, base: Path, data: TaskData, place: Path
) -> dict[str, Any]:
    settings, result = place / "settings.json", place / "result.json"
    values = {
        **PEER_RECIPE,
        "epochs": options.peer_epochs,
        "preset": str(base),
        "train": str(place / "train.jsonl"),
        "dev": str(place / "dev.jsonl"),
        "text_columns": list(data.task.text_columns),
        "output_dir": str(place / "peer"),
        "result": str(result),
    }
    settings.write_text(json.dumps(values), encoding="utf-8")
    command = [options.peer_python, str(Path(peer.__file__)), str(settings)]
    run = watch(command, f"The peer's run ({options.peer_python})")
    return {**json.loads(result.read_text(encoding="utf-8")), **run.to_dict()}


def _run_ours(options: QualityOptions, data: TaskData, place: Path) -> dict[str, Any]:
    output_dir = place / "ours"
    command = [
        *TRAIN_PROGRAM,
        f"--preset={options.preset}",
        f"--train_file={place / 'train.jsonl'}",
        f"--dev_file={place / 'dev.jsonl'}",
        f"--text_columns={','.join(data.task.text_columns)}",
        "--label_kind=class",
        f"--epochs={options.epochs}",
        f"--output_dir={output_dir}",
    ]
    run = watch(command, "Our run", output_dir / HISTORY_FILE)
    return {
        **run.to_dict(),
        "epochs": [
            {"seconds": epoch["seconds"], METRIC: epoch["dev"][METRIC]}
            for epoch in run.epochs
        ],
    }


def find_ratios(result: dict[str, Any]) -> list[Ratio]:
    """The lines of the summary, from a result of `measure_time_to_quality`."""
    what = f"time to AdapterHub's dev {result['metric']}, ours / AdapterHub"
    return [Ratio(task["task"], what, _time_ratio(task)) for task in result["tasks"]]


def _time_ratio(task: dict[str, Any]) -> float | None:
    """Our time to the peer's metric by the peer's time; `None` if we never reach it."""
    reached = task["ours"]["reached"]
    return reached["seconds"] / task["peer"]["wall_seconds"] if reached else None


def as_markdown(result: dict[str, Any]) -> str:
    """The report.

    Args:
        result: Of `measure_time_to_quality`.
    """
    options, recipe = result["options"], result["peer_recipe"]
    versions = ", ".join(f"{k} {v}" for k, v in result["peer_versions"].items())
    rows = options["max_train_examples"]
    head = (
        f"{machine_line(result['machine'])}; peer: {versions}. Base "
        f"{options['preset']}; {'all' if rows is None else f'at most {rows:,}'} "
        "training rows of each task. Peer: "
        f"{recipe['adapter_config']}, {recipe['epochs']} epochs, learning rate "
        f"{recipe['learning_rate']:g}, batches of {recipe['batch_size']}, padded to "
        f"{recipe['seq_length']} tokens. Ours: `adapters-tf-train` with its defaults, "
        f"{options['epochs']} epochs. Seconds from the start of the process."
    )
    return (
        "\n\n".join(
            [
                "# Time to quality",
                head,
                _tasks_table(result),
                *_notes(result),
                "## Epochs",
                _epochs_table(result),
            ]
        )
        + "\n"
    )


def _tasks_table(result: dict[str, Any]) -> str:
    rows = []
    for task in result["tasks"]:
        peer, ours = task["peer"], task["ours"]
        reached, ratio = ours["reached"], _time_ratio(task)
        rows.append(
            [
                f"{task['task']}, {task['train_rows']:,} rows",
                f"{task['majority']:.4f}",
                f"{peer[result['metric']]:.4f}",
                f"{peer['wall_seconds']:.0f}",
                f"{reached['seconds']:.0f}" if reached else "not reached",
                "" if ratio is None else f"{ratio:.2f}",
                f"{ours['wall_seconds']:.0f}",
                f"{ours['cpu_seconds'] / peer['cpu_seconds']:.2f}",
                " / ".join(_percent(side["foreign"]) for side in (peer, ours)),
            ]
        )
    columns = [
        "",
        "majority class",
        f"peer's dev {result['metric']}",
        "peer s",
        "ours to that s",
        "ours / peer",
        "our whole run s",
        "CPU of whole runs, ours / peer",
        "taken by others, peer / ours",
    ]
    return table(columns, rows)


def _notes(result: dict[str, Any]) -> list[str]:
    """A warning for the tasks on which the peer learned nothing."""
    unlearned = [
        task["task"]
        for task in result["tasks"]
        if task["peer"][result["metric"]] <= task["majority"]
    ]
    if not unlearned:
        return []
    return [
        f"**On {', '.join(unlearned)} the peer ended no better than the most frequent "
        "class**, which any model reaches: that ratio says little."
    ]


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.0f}%"


def _epochs_table(result: dict[str, Any]) -> str:
    longest = max(len(task["ours"]["epochs"]) for task in result["tasks"])
    rows = []
    for task in result["tasks"]:
        cells = [
            f"{epoch[result['metric']]:.4f} after {epoch['seconds']:.0f} s"
            for epoch in task["ours"]["epochs"]
        ]
        rows.append([task["task"], *cells, *[""] * (longest - len(cells))])
    columns = [f"our epoch {number}" for number in range(1, longest + 1)]
    return table(["", *columns], rows)
