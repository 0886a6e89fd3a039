"""Jobs `training`, `inference`, `cache` and `memory`: our steps beside the peer's."""

import functools
from typing import Any

from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError
from benchmarks import steps_measure
from benchmarks.report import (
    Ratio,
    check_output,
    machine_line,
    megabytes,
    milliseconds,
    output_flag,
    print_report,
    table,
    value_or_quick,
)
from benchmarks.steps_measure import ENCODERS, PRECISIONS, Case

_QUICK = {"encoders": ["tiny"], "batches": ["4x16"], "repeats": 2}
_WHAT = {
    "training": "Times training steps: adapters, full fine-tuning, and the peer's.",
    "inference": "Times prediction with adapters, without, and the peer's.",
    "cache": "Times training steps of the upper blocks, from kept hidden states too.",
    "memory": "Peak memory of training, ours and the peer's, each in a process.",
}


def define(name: str) -> Groups:
    """The flags of one of the jobs."""
    g = Groups(
        f"{_WHAT[name]}\n"
        f"  python benchmarks/run.py {name} --output={name}.json\n"
        f"{_example(name)}"
    )
    g.group("What is measured")
    g.strings("encoders", ["minilm", "bert_base"], f"of {', '.join(ENCODERS)}")
    g.strings("batches", ["32x32", "8x128"], "rows x tokens of a batch")
    g.strings("precisions", list(PRECISIONS), "of the computation")
    g.integer("bottleneck_dim", 64, "units of the adapters")
    if name != "cache":
        g.string("peer_python", None, "a Python with torch and adapters, see the docs")
        g.choice("device", "cpu", ("cpu", "gpu"), "what computes")
        g.boolean("tf32", False, "float32 products in TensorFloat-32 on a GPU")
    g.group("How long")
    g.integer("repeats", 10, "turns of 8 steps each")
    g.boolean("quick", False, "a tiny encoder, to see that it works")
    output_flag(g)
    return g


def _example(name: str) -> str:
    flag = "encoders=minilm" if name == "cache" else "peer_python=peer/bin/python"
    return f"  python benchmarks/run.py {name} --{flag}"


def main(name: str, flags: Any) -> None:
    """Measure, print and write."""
    check_output(flags.output)

    def value(flag: str) -> Any:
        return value_or_quick(flags, flag, _QUICK)

    options = steps_measure.StepOptions(
        cases=_cases(value("encoders"), value("batches"), value("precisions"), flags),
        kinds={"inference": steps_measure.INFERENCE, "cache": steps_measure.CACHE}.get(
            name, steps_measure.TRAINING
        ),
        peer_python=None if name == "cache" else flags.peer_python,
        repeats=_positive("repeats", value("repeats")),
        **({} if name == "cache" else {"device": flags.device, "tf32": flags.tf32}),
    )
    measure = (
        steps_measure.measure_memory
        if name == "memory"
        else steps_measure.measure_steps
    )
    result = {"benchmark": name, **measure(options)}
    print_report(flags.output, result, as_markdown(name.capitalize(), result))


def _cases(
    encoders: list[str], batches: list[str], precisions: list[str], flags: Any
) -> tuple[Case, ...]:
    _known("encoders", encoders, tuple(ENCODERS))
    _known("precisions", precisions, PRECISIONS)
    return tuple(
        Case(
            encoder,
            *_batch(batch),
            precision,
            _positive("bottleneck_dim", flags.bottleneck_dim),
        )
        for encoder in encoders
        for precision in precisions
        for batch in batches
    )


def _known(name: str, values: list[str], known: tuple[str, ...]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown or not values:
        raise UserError(
            f"--{name} takes some of {', '.join(known)}. Received: "
            f"{', '.join(unknown) or 'none'}"
        )


def _batch(text: str) -> tuple[int, int]:
    rows, _, tokens = text.partition("x")
    if not (rows.isdecimal() and tokens.isdecimal() and int(rows) and int(tokens)):
        raise UserError(
            f"--batches takes rows x tokens, such as 32x32,8x128. Received: {text!r}"
        )
    if int(tokens) > 512:
        raise UserError(f"A row has at most 512 tokens. Received: {text!r}")
    return int(rows), int(tokens)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise UserError(f"--{name} must be 1 or more. Received: {value}")
    return value


JOBS = tuple(
    SubJob(name, what, functools.partial(define, name), functools.partial(main, name))
    for name, what in (
        ("training", "training steps, beside full fine-tuning and the peer"),
        ("inference", "prediction, beside the plain base and the peer"),
        ("cache", "training of the upper blocks, from kept hidden states"),
        ("memory", "peak memory of training"),
    )
)


# A ratio of times that the summary shows -> its name there.
_SUMMARY = {
    "ours train_adapters / ours train_full": "step time, adapters / full fine-tuning",
    "ours train_adapters / peer train_adapters": (
        "step time with adapters, ours / AdapterHub"
    ),
    "ours predict_adapters / ours predict_base": (
        "prediction time, with adapters / without"
    ),
    "ours predict_adapters / peer predict_adapters": (
        "prediction time with adapters, ours / AdapterHub"
    ),
    "ours train_top-memory / ours train_adapters": (
        "step time, adapters in the upper half with a cache in memory / in all blocks"
    ),
    "ours train_top-disk / ours train_adapters": (
        "step time, adapters in the upper half with a cache on disk / in all blocks"
    ),
}
_ADAPTER_GROWTH = "ours train_adapters / peer train_adapters"


def find_ratios(result: dict[str, Any]) -> list[Ratio]:
    """The lines of the summary, of `measure_steps` or `measure_memory`."""
    found = []
    for case in result["cases"]:
        where = _where(case)
        for name, ratio in case.get("ratios", {}).items():
            if name in _SUMMARY:
                found.append(Ratio(where, _SUMMARY[name], ratio["wall"]))
        growth = _growth_ratios(case)
        if _ADAPTER_GROWTH in growth:
            what = "growth of memory with adapters, ours / AdapterHub"
            found.append(Ratio(where, what, growth[_ADAPTER_GROWTH]))
    return found


def _growth_ratios(case: dict[str, Any]) -> dict[str, float]:
    """Our growth of memory by the peer's, for each kind that both sides ran."""
    memory = case.get("memory", {})
    ratios = {}
    for name, ours in memory.items():
        other = name.replace("ours ", "peer ", 1)
        if other != name and other in memory:
            ratios[f"{name} / {other}"] = ours["growth"] / memory[other]["growth"]
    return ratios


def as_markdown(title: str, result: dict[str, Any]) -> str:
    """The report.

    Args:
        title: Its heading.
        result: Of `measure_steps` or `measure_memory`.
    """
    parts = [f"# {title}", f"{machine_line(result['machine'])}.{_peer(result)}"]
    if result["options"]["device"] == "gpu":
        how = "with" if result["options"]["tf32"] else "without"
        parts.append(f"On a GPU, {how} TensorFloat-32; memory is that of the device.")
    for case in result["cases"]:
        parts.append(f"## {_where(case)}")
        if "times" in case:
            parts += _times(case)
        else:
            rows = [
                [name, *(megabytes(m[key]) for key in ("start", "built", "growth"))]
                for name, m in case["memory"].items()
            ]
            columns = ["MB", "at the start", "growth: model built", "to the peak"]
            parts.append(table(columns, rows))
            growth = [[name, f"{r:.2f}"] for name, r in _growth_ratios(case).items()]
            if growth:
                parts.append(table(["ratio of", "growth to the peak"], growth))
    return "\n\n".join(parts) + "\n"


def _times(case: dict[str, Any]) -> list[str]:
    speed = [
        [
            name,
            milliseconds(t["wall"]),
            milliseconds(t["cpu"]),
            f"{case['rows'] / t['wall']:.1f}",
            str(t["turns"]),
        ]
        for name, t in case["times"].items()
    ]
    ratios = [
        [name, f"{ratio['wall']:.2f}", f"{ratio['cpu']:.2f}"]
        for name, ratio in case["ratios"].items()
    ]
    parts = [table(["a step", "ms", "CPU ms", "rows/s", "turns"], speed)]
    if ratios:
        parts.append(table(["ratio of", "wall times", "CPU times"], ratios))
    notes = [f"{case['turns_dropped']} turns were dropped because of other processes."]
    if case["turns_noisy"]:
        notes.append(
            f"**{case['turns_noisy']} turns count although other processes ran.**"
        )
    for kind, seconds in case["fill_seconds"].items():
        notes.append(f"{kind}: computing the hidden states took {seconds:.1f} s.")
    if case["largest_difference_of_outputs"] is not None:
        notes.append(
            "Largest difference between our outputs and the peer's: "
            f"{case['largest_difference_of_outputs']:.1e}."
        )
    return [*parts, " ".join(notes)]


def _where(case: dict[str, Any]) -> str:
    return (
        f"{case['encoder']}, {case['rows']} x {case['tokens']} tokens, "
        f"{case['precision']}"
    )


def _peer(result: dict[str, Any]) -> str:
    versions = result.get("peer_versions")
    if not versions:
        return ""
    return " Peer: " + ", ".join(f"{k} {v}" for k, v in versions.items()) + "."
