"""Job `serving`: servables of many tasks, the plain base and separate models."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError, check_counts
from adapters_tf.export.base import export_base
from adapters_tf.export.base_functions import INPUTS
from adapters_tf.export.preprocessor import PREPROCESSOR_DIR
from adapters_tf.export.servable import MIXED
from adapters_tf.preset_names import resolve_preset
from benchmarks.report import (
    check_output,
    describe_machine,
    output_flag,
    print_report,
    value_or_quick,
    whole_numbers,
)
from benchmarks.serving_build import (
    Built,
    RandomTasks,
    add_one_task,
    build_servable,
    copy_of,
    export_fine_tuned,
    size_on_disk,
)
from benchmarks.serving_load import Request, measure_loads
from benchmarks.serving_measure import (
    measure_agreement,
    measure_speed,
    mixed_inputs,
    spread,
    text_inputs,
    token_inputs,
)
from benchmarks.serving_tables import as_markdown
from benchmarks.texts import SENTENCES, read_lines

_TEXTS = 200
# In place of the defaults: ends in a minute or two on a small preset.
_QUICK = {
    "tasks": ["2"],
    "rows": ["4", "2"],
    "bottleneck_dim": 8,
    "seq_length": 32,
    "repeats": 3,
    "load_repeats": 1,
}
_QUICK_TEXTS = 8

# Separate models really loaded into one process, to see that N cost N times one.
SEPARATE_MODELS = 4
# Tasks whose own signatures are called in the process that measures memory.
_OWN_SIGNATURES = 4


@dataclasses.dataclass(frozen=True)
class ServingOptions:
    """What is measured.

    Attributes:
        preset: The base; see `resolve_preset`.
        tasks: Numbers of tasks; one servable is written for each, and one of a
            single task for comparison.
        bottleneck_dim: Units of every adapter.
        seq_length: Longest row in tokens.
        rows: Batch sizes to time.
        mixed_tasks: How many tasks the rows of a batch belong to.
        repeats: Rounds of timed calls.
        load_repeats: Processes that load each servable.
        agreement_texts: Texts on which answers are compared.
    """

    preset: str = "demo"
    tasks: tuple[int, ...] = (16, 256)
    bottleneck_dim: int = 64
    seq_length: int = 128
    rows: tuple[int, ...] = (64, 16)
    mixed_tasks: int = 16
    repeats: int = 20
    load_repeats: int = 3
    agreement_texts: tuple[str, ...] = SENTENCES

    def __post_init__(self) -> None:
        for name in ("tasks", "rows"):
            values = getattr(self, name)
            least = 2 if name == "tasks" else 1
            if not values or min(values) < least or len(set(values)) < len(values):
                raise UserError(
                    f"{name} must be different whole numbers of {least} or more. "
                    f"Received: {name}={','.join(map(str, values))}"
                )
        if max(self.rows) > len(SENTENCES):
            raise UserError(
                f"rows must be at most {len(SENTENCES)}, the number of built-in texts. "
                f"Received: rows={','.join(map(str, self.rows))}"
            )
        check_counts(self, "bottleneck_dim", "mixed_tasks", "repeats", "load_repeats")
        if not self.agreement_texts:
            raise UserError("Answers are compared on one text or more. Received: none")


def measure_serving(
    options: ServingOptions, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measure everything, in a temporary directory that is removed at the end.

    Args:
        options: What to measure.
        say: Called with a line when something begins that takes a while.

    Returns:
        See docs/benchmarks.md.

    Raises:
        UserError: if the preset cannot be loaded, or an export is not kept.
    """
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="adapters-tf-benchmark-") as scratch:
        return {
            "benchmark": "serving",
            "machine": machine,
            "options": _plain_options(options),
            **_Serving(options, Path(scratch), say).measure(),
        }


def _plain_options(options: ServingOptions) -> dict[str, Any]:
    values = dataclasses.asdict(options)
    values["agreement_texts"] = len(values["agreement_texts"])
    return values


class _Serving:
    """One run; `scratch` is its directory."""

    def __init__(
        self, options: ServingOptions, scratch: Path, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._scratch = scratch
        self._say = say
        self._preset = resolve_preset(options.preset)

    def measure(self) -> dict[str, Any]:
        options, scratch = self._options, self._scratch
        self._say(f"base SavedModel and a whole fine-tuned model of {options.preset}")
        tasks = RandomTasks(self._preset, options.bottleneck_dim, options.seq_length)
        base = scratch / "base"
        export_base(self._preset, base, options.seq_length)
        whole = scratch / "whole"
        export_fine_tuned(self._preset, options.seq_length, whole)
        self._preprocessor = tf.saved_model.load(str(base / PREPROCESSOR_DIR))
        built: dict[int, Built] = {}
        for count in sorted({1, *options.tasks}):
            self._say(f"a servable with {count} task(s)")
            built[count] = build_servable(base, tasks, count, scratch / str(count))
        loads = self._measure_loads(built, whole)
        results = []
        for count in options.tasks:
            one = built[count]
            results.append(
                {
                    "tasks": count,
                    "adapter_bytes": one.adapter_bytes,
                    "size_on_disk": size_on_disk(one.servable),
                    "writing": one.writing,
                    "load": loads[str(count)],
                    "load_mixed_only": loads[f"{count} mixed only"],
                    "memory": _growth(loads, count, one),
                    "speed": self._measure_speed(count, one),
                    "agreement": self._measure_agreement(count, one),
                    "adding": self._measure_adding(count, one, tasks),
                }
            )
        return {
            "base": {"size_on_disk": size_on_disk(base)},
            "one_task": {"load": loads["1"]},
            "separate_models": {
                "size_on_disk": size_on_disk(whole),
                "load_1": loads["separate 1"],
                "models": SEPARATE_MODELS,
                "load": loads[f"separate {SEPARATE_MODELS}"],
            },
            "servables": results,
        }

    def _measure_loads(
        self, built: dict[int, Built], whole: Path
    ) -> dict[str, dict[str, Any]]:
        self._say("loading servables and separate models in new processes")
        texts = SENTENCES[: max(self._options.rows)]
        tokens = token_inputs(self._preprocessor, texts, self._options.seq_length)
        ours = {ours: tokens[name] for name, ours in INPUTS.items()}
        request: list[Request] = [("serving_default", ours)]
        cases = {
            str(count): ([one.version], self._requests(one, texts))
            for count, one in built.items()
        }
        cases |= {
            f"{count} mixed only": ([one.mixed_only], self._requests(one, texts)[:1])
            for count, one in built.items()
        }
        copies = [copy_of(whole, number) for number in range(SEPARATE_MODELS)]
        for count in (1, SEPARATE_MODELS):
            cases[f"separate {count}"] = (copies[:count], request)
        return measure_loads(cases, self._options.load_repeats)

    def _requests(self, built: Built, texts: tuple[str, ...]) -> list[Request]:
        # One task: what a batch of many takes while it is computed, their kernels, is
        # no growth of the servable.
        own = [built.names[i] for i in spread(len(built.names), _OWN_SIGNATURES)]
        return [
            (MIXED, mixed_inputs(texts, built.names[:1] * len(texts))),
            *((f"{name}_text", text_inputs(texts)) for name in own),
        ]

    def _measure_speed(self, count: int, built: Built) -> list[dict[str, Any]]:
        options = self._options
        self._say(f"speed with {count} tasks")
        return [
            measure_speed(
                built,
                self._preprocessor,
                SENTENCES[:rows],
                options.seq_length,
                options.mixed_tasks,
                options.repeats,
            )
            for rows in options.rows
        ]

    def _measure_agreement(self, count: int, built: Built) -> dict[str, Any]:
        options = self._options
        self._say(f"agreement with {count} tasks")
        return measure_agreement(
            built,
            self._preprocessor,
            options.agreement_texts,
            options.seq_length,
            options.mixed_tasks,
        )

    def _measure_adding(
        self, count: int, built: Built, tasks: RandomTasks
    ) -> dict[str, Any]:
        self._say(f"adding a task to {count}")
        directory = self._scratch / f"added_to_{count}"
        return add_one_task(built, tasks, directory)


def _growth(loads: dict[str, Any], count: int, built: Built) -> dict[str, float]:
    """Memory for each task beyond the first, and for each signature called."""

    def per_task(name: str) -> float:
        # The same calls were made in both.
        first, last = (
            loads[f"{number}{name}"]["resident_bytes"]["called"]
            for number in (1, count)
        )
        return (last - first) / (count - 1)

    resident = loads[str(count)]["resident_bytes"]
    called = resident["all_called"] - resident["called"]
    return {
        "bytes_per_task": per_task(" mixed only"),
        "per_task_by_adapter_bytes": per_task(" mixed only") / built.adapter_bytes,
        "bytes_per_task_with_own_signatures": per_task(""),
        "bytes_per_own_signature": called / len(spread(count, _OWN_SIGNATURES)),
    }


# === Command line ===


def define() -> Groups:
    """The flags of `serving`."""
    g = Groups(
        "Measures servables of many tasks: speed, memory, start-up, disk, agreement.\n"
        "  python benchmarks/run.py serving --tasks=16,256 --output=serving.json"
    )
    g.group("What is measured")
    g.string("preset", "demo", "the base")
    g.strings("tasks", ["16", "256"], "numbers of tasks in a servable")
    g.integer("bottleneck_dim", 64, "units of an adapter's bottleneck")
    g.integer("seq_length", 128, "longest input in tokens")
    g.strings("rows", ["64", "16"], "batch sizes")
    g.integer("mixed_tasks", 16, "tasks that the rows of a batch belong to")
    g.string("texts", None, "file, a text a line, to compare answers on [built in]")
    g.group("How long")
    g.integer("repeats", 20, "rounds of calls")
    g.integer("load_repeats", 3, "processes for each start-up")
    g.boolean("quick", False, "few tasks and repeats, to see that it works")
    output_flag(g)
    return g


def main(flags: Any) -> None:
    """Measure, print and write."""
    check_output(flags.output)

    def value(name: str) -> Any:
        return value_or_quick(flags, name, _QUICK)

    count = _QUICK_TEXTS if flags.quick else _TEXTS
    texts = read_lines(flags.texts, count) if flags.texts else SENTENCES[:count]
    options = ServingOptions(
        preset=flags.preset,
        tasks=whole_numbers("tasks", value("tasks")),
        bottleneck_dim=value("bottleneck_dim"),
        seq_length=value("seq_length"),
        rows=whole_numbers("rows", value("rows")),
        mixed_tasks=flags.mixed_tasks,
        repeats=value("repeats"),
        load_repeats=value("load_repeats"),
        agreement_texts=tuple(texts),
    )
    result = measure_serving(options)
    print_report(flags.output, result, as_markdown(result))


JOB = SubJob("serving", "many tasks in one servable", define, main)
