"""Job `load`: latency and losses of a server under rising load, until it breaks."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapters_tf.bin.program import Groups, SubJob
from adapters_tf.errors import UserError, check_counts
from adapters_tf.export.base import export_base
from benchmarks.load_client import GRPC, PROTOCOLS, REST
from benchmarks.load_report import as_markdown, draw
from benchmarks.load_steps import Server, start_server, sweep
from benchmarks.report import (
    check_output,
    describe_machine,
    output_flag,
    print_report,
    value_or_quick,
    whole_numbers,
)
from benchmarks.serving_build import (
    RandomTasks,
    build_mixed_servable,
    save_random_base,
)
from benchmarks.steps_measure import ENCODERS
from benchmarks.texts import read_lines, varied_texts

_RATES = "10 20 30 40 60 80 100 125 150 175 200 250 300 400 600 800"
_QUICK = {
    "encoders": ["tiny"],
    "tasks": ["4"],
    "rates": ["20", "40"],
    "seconds": 2.0,
    "bottleneck_dim": 4,
    "seq_length": 32,
}
_TEXTS = 1000
ADDRESS = "server at an address"
"""What stands for the encoder if the server is not ours."""


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """What is measured.

    Attributes:
        encoders: Names in `ENCODERS`; the weights are random.
        tasks: Numbers of tasks that requests ask for; a servable has the largest.
        protocols: Of `PROTOCOLS`.
        rates: Offered requests per second, rising.
        overload: After the first rate that breaks the server, its multiples.
        seconds: Length of a step.
        bottleneck_dim: Units of every adapter.
        seq_length: Longest input in tokens.
        timeout: Seconds after which a client gives up a request.
        seed: Of the arrivals.
        addresses: Protocol -> `host:port` of a server that runs; empty to start one.
        model_name: The model of that server.
        task_names: The tasks that are asked for there.

    Raises:
        UserError: if a value is out of range.
    """

    encoders: tuple[str, ...] = ("minilm", "bert_base")
    tasks: tuple[int, ...] = (1, 1024)
    protocols: tuple[str, ...] = PROTOCOLS
    rates: tuple[int, ...] = tuple(map(int, _RATES.split()))
    overload: tuple[int, ...] = (2, 4)
    seconds: float = 10.0
    bottleneck_dim: int = 16
    seq_length: int = 128
    timeout: float = 10.0
    seed: int = 0
    addresses: dict[str, str] = dataclasses.field(default_factory=dict)
    model_name: str = "adapters"
    task_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_counts(self, "bottleneck_dim", "seq_length")
        for name, known in (("encoders", ENCODERS), ("protocols", PROTOCOLS)):
            values = getattr(self, name)
            if not values or not set(values) <= set(known):
                raise UserError(
                    f"{name} must be some of {', '.join(known)}. Received: "
                    f"{','.join(values)}"
                )
        for name in ("tasks", "rates"):
            values = getattr(self, name)
            if not values or values[0] < 1 or list(values) != sorted(set(values)):
                raise UserError(
                    f"{name} must be rising whole numbers from 1. Received: "
                    f"{','.join(map(str, values))}"
                )
        for name in ("seconds", "timeout"):
            if not 0 < getattr(self, name) < 3600:
                raise UserError(
                    f"{name} must be above 0 and below 3600. Received: "
                    f"{getattr(self, name)}"
                )
        if self.addresses and not self.task_names:
            raise UserError(
                "A server at an address is asked for the tasks of task_names. "
                "Received: none. adapters-tf-export list shows a servable's"
            )


def measure_load(
    options: LoadOptions, texts: list[str], say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Raise the load on each server until it breaks.

    Args:
        options: What to measure.
        texts: What rows are drawn from.
        say: Called with a line before each step.

    Returns:
        See docs/benchmarks.md.

    Raises:
        UserError: if a server does not start or answer.
    """
    machine = describe_machine()
    sweeps = []
    for encoder in (ADDRESS,) if options.addresses else options.encoders:
        with _server(encoder, options, say) as (server, names):
            counts = options.tasks
            if options.addresses:
                counts = (len(names),)
            for protocol in server.addresses:
                for count in counts:
                    say(f"{encoder}, {protocol}, rows of {count} task(s)")
                    steps = sweep(server, protocol, names[:count], texts, options, say)
                    sweeps.append(
                        {
                            "encoder": encoder,
                            "protocol": protocol,
                            "tasks": count,
                            "steps": steps,
                        }
                    )
    return {
        "benchmark": "load",
        "machine": machine,
        "options": dataclasses.asdict(options),
        "texts": {"count": len(texts), "mean_words": _mean_words(texts)},
        "sweeps": sweeps,
    }


def _mean_words(texts: list[str]) -> float:
    return sum(len(text.split()) for text in texts) / len(texts)


@contextlib.contextmanager
def _server(
    encoder: str, options: LoadOptions, say: Callable[[str], None]
) -> Iterator[tuple[Server, list[str]]]:
    """A server, and the names of its tasks."""
    if options.addresses:
        server = Server(options.addresses, options.model_name, None)
        yield server, list(options.task_names)
        return
    with tempfile.TemporaryDirectory(prefix="adapters-tf-benchmark-") as scratch:
        count = max(options.tasks)
        say(f"{encoder}: a servable with {count} task(s)")
        preset, base = Path(scratch) / "preset", Path(scratch) / "base"
        save_random_base(ENCODERS[encoder], options.seq_length, preset)
        export_base(str(preset), base, options.seq_length)
        tasks = RandomTasks(str(preset), options.bottleneck_dim, options.seq_length)
        servable = Path(scratch) / "servable"
        names = build_mixed_servable(base, tasks, count, servable)
        with start_server(servable, options.model_name) as server:
            own = {p: server.addresses[p] for p in options.protocols}
            yield dataclasses.replace(server, addresses=own), names


# === Command line ===


def define() -> Groups:
    """The flags of `load`."""
    g = Groups(
        "Measures a server under rising load: open-loop Poisson arrivals of one row.\n"
        "  python benchmarks/run.py load --output=load.json\n"
        "  python benchmarks/run.py load --grpc=localhost:8500 --task_names=sst2,mrpc"
    )
    default = LoadOptions()
    g.group("What is measured")
    g.strings("encoders", list(default.encoders), f"of {', '.join(ENCODERS)}")
    g.strings("tasks", ["1", "1024"], "numbers of tasks that rows ask for, Zipf(1.0)")
    g.strings("protocols", list(PROTOCOLS), "of grpc, rest")
    g.integer("bottleneck_dim", default.bottleneck_dim, "units of an adapter")
    g.integer("seq_length", default.seq_length, "longest input in tokens")
    g.string("texts", None, "file, a text a line [built in, of varied lengths]")
    g.group("A server that runs, such as TensorFlow Serving, instead of our own")
    g.string("grpc", None, "its host:port of gRPC")
    g.string("rest", None, "its host:port of REST")
    g.string("model_name", default.model_name, "its model")
    g.strings("task_names", [], "its tasks that rows ask for, the most frequent first")
    g.group("How much")
    g.strings("rates", _RATES.split(), "requests per second, until the server breaks")
    g.strings("overload", ["2", "4"], "then multiples of the rate that broke it")
    g.number("seconds", default.seconds, "of each step; its first fifth is not counted")
    g.number("timeout", default.timeout, "seconds until a client gives up")
    g.integer("seed", default.seed, "of the arrivals")
    g.boolean("quick", False, "a tiny base and few requests, to see that it works")
    output_flag(g)
    return g


def main(flags: Any) -> None:
    """Measure, print, write and draw."""
    check_output(flags.output)

    def value(name: str) -> Any:
        return value_or_quick(flags, name, _QUICK)

    addresses = {GRPC: flags.grpc, REST: flags.rest}
    options = LoadOptions(
        encoders=tuple(value("encoders")),
        tasks=whole_numbers("tasks", value("tasks")),
        protocols=tuple(flags.protocols),
        rates=whole_numbers("rates", value("rates")),
        overload=whole_numbers("overload", flags.overload),
        seconds=value("seconds"),
        bottleneck_dim=value("bottleneck_dim"),
        seq_length=value("seq_length"),
        timeout=flags.timeout,
        seed=flags.seed,
        addresses={k: address for k, address in addresses.items() if address},
        model_name=flags.model_name,
        task_names=tuple(flags.task_names),
    )
    texts = read_lines(flags.texts, _TEXTS) if flags.texts else varied_texts(_TEXTS)
    result = measure_load(options, texts)
    print_report(flags.output, result, as_markdown(result))
    if flags.output:
        draw(result, Path(flags.output).with_suffix(""))


JOB = SubJob("load", "a server under rising load, until it breaks", define, main)
