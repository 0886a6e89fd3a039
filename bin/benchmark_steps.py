"""adapters-tf-benchmark training, inference, cache and memory."""

import functools
from typing import Any

from adapters_tf.benchmark.report import check_output
from adapters_tf.benchmark.steps import job
from adapters_tf.benchmark.steps.case import ENCODERS, PRECISIONS, Case
from adapters_tf.benchmark.steps.tables import as_markdown, find_bars
from adapters_tf.bin.benchmark_flags import output_flag, report, value_or_quick
from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError

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
        f"  adapters-tf-benchmark {name} --output={name}.json\n"
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
    return f"  adapters-tf-benchmark {name} --{flag}"


def run(name: str, flags: Any) -> None:
    """Measure, print and write."""
    check_output(flags.output)

    def value(flag: str) -> Any:
        return value_or_quick(flags, flag, _QUICK)

    options = job.StepOptions(
        cases=_cases(value("encoders"), value("batches"), value("precisions"), flags),
        kinds={"inference": job.INFERENCE, "cache": job.CACHE}.get(name, job.TRAINING),
        peer_python=None if name == "cache" else flags.peer_python,
        repeats=_positive("repeats", value("repeats")),
        **({} if name == "cache" else {"device": flags.device, "tf32": flags.tf32}),
    )
    measure = job.measure_memory if name == "memory" else job.measure_steps
    result = {"benchmark": name, **measure(options)}
    result["goals"] = find_bars(result)
    report(flags.output, result, as_markdown(name.capitalize(), result))


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
    SubJob(name, what, functools.partial(define, name), functools.partial(run, name))
    for name, what in (
        ("training", "training steps, beside full fine-tuning and the peer"),
        ("inference", "prediction, beside the plain base and the peer"),
        ("cache", "training of the upper blocks, from kept hidden states"),
        ("memory", "peak memory of training"),
    )
)
