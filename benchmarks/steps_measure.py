"""Time steps and peak memory of resident processes that take turns."""

import contextlib
import dataclasses
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters_tf.errors import UserError
from benchmarks import steps_peer as peer
from benchmarks.processes import Resident, child_command
from benchmarks.report import describe_machine
from benchmarks.timing import busy_seconds

# Sizes of the published checkpoints (Devlin et al. 2019; Wang et al. 2020).
ENCODERS: dict[str, dict[str, int]] = {
    "tiny": {
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 32,
        "intermediate_dim": 64,
        "vocabulary_size": 1000,
    },
    "minilm": {
        "num_layers": 6,
        "num_heads": 12,
        "hidden_dim": 384,
        "intermediate_dim": 1536,
        "vocabulary_size": 30522,
    },
    "bert_base": {
        "num_layers": 12,
        "num_heads": 12,
        "hidden_dim": 768,
        "intermediate_dim": 3072,
        "vocabulary_size": 30522,
    },
    "bert_large": {
        "num_layers": 24,
        "num_heads": 16,
        "hidden_dim": 1024,
        "intermediate_dim": 4096,
        "vocabulary_size": 30522,
    },
}
PRECISIONS = ("float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class Case:
    """One encoder and one shape of batches.

    Attributes:
        encoder: A name in `ENCODERS`; the weights are random.
        rows: Of a batch.
        tokens: Of each row; nothing is padded.
        precision: One of `PRECISIONS`.
        bottleneck_dim: Units of the adapters.
    """

    encoder: str = "minilm"
    rows: int = 8
    tokens: int = 128
    precision: str = "float32"
    bottleneck_dim: int = 64

    def to_dict(self) -> dict[str, Any]:
        """With the sizes of the encoder, for a process."""
        return {**dataclasses.asdict(self), "sizes": ENCODERS[self.encoder]}


TRAINING = ("train_adapters", "train_full")
INFERENCE = ("predict_adapters", "predict_base")
CACHE = ("train_adapters", "train_top", "train_top-memory", "train_top-disk")
# Of the cores' time; a turn during which others took more does not count.
_FOREIGN = 0.05
# A turn is this many steps, what the data of `ours.py` and `peer.py` is made for.
_STEPS = 8
_LARGEST_DIFFERENCE = 1e-4


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """What is measured.

    Attributes:
        cases: Encoders and batches.
        kinds: What is timed; see `ours.Steps.make`.
        peer_python: A Python with torch, transformers and adapters, or `None`.
        repeats: Turns that count, of 8 steps each.
        warmup: Turns before them.
        device: `"cpu"` or `"gpu"`.
        tf32: Whether a GPU may compute float32 products in TensorFloat-32.

    Raises:
        UserError: if there is no such Python or device.
    """

    cases: tuple[Case, ...]
    kinds: tuple[str, ...] = TRAINING
    peer_python: str | None = None
    repeats: int = 10
    warmup: int = 1
    device: str = "cpu"
    tf32: bool = False

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "gpu") or (self.tf32 and self.device == "cpu"):
            raise UserError(
                "device must be cpu or gpu, and tf32 is for a GPU. Received: "
                f"device={self.device!r}, tf32={self.tf32}"
            )
        if self.peer_python and not shutil.which(self.peer_python):
            raise UserError(
                "peer_python must be a Python with torch and adapters. It could not be "
                f"started. Received: {self.peer_python!r}"
            )


def measure_steps(
    options: StepOptions, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Time steps of ours and the peer's, which take turns in resident processes.

    Both start from the same random weights and their outputs are compared before
    anything is timed. A turn during which other processes took more than 5% of the
    machine is thrown away and made up for, up to as many as were asked for.

    Args:
        options: What.
        say: Called with a line before each case.

    Returns:
        See docs/benchmarks.md.

    Raises:
        UserError: if a process fails, or their outputs differ.
    """
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "options": _about(options),
        "cases": [],
    }
    for case in options.cases:
        say(_title(case))
        with _processes(options) as sides:
            about, fill, difference = _start(sides, case, options)
            result.setdefault("peer_versions", about)
            times, dropped, noisy = _take_turns(sides, options)
        result["cases"].append(
            {
                **dataclasses.asdict(case),
                "largest_difference_of_outputs": difference,
                "turns_dropped": dropped,
                "turns_noisy": noisy,
                "fill_seconds": fill,
                "times": {
                    name: {
                        unit: statistics.median(t[unit] for t in turns) / _STEPS
                        for unit in ("wall", "cpu")
                    }
                    | {"turns": len(turns)}
                    for name, turns in times.items()
                },
                "ratios": _ratios(times),
            }
        )
    return result


def measure_memory(
    options: StepOptions, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Peak memory of each kind, in processes of their own.

    Args:
        options: What; `repeats` turns are run.
        say: Called with a line before each case.

    Returns:
        See docs/benchmarks.md.
    """
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "options": _about(options),
        "cases": [],
    }
    for case in options.cases:
        say(_title(case))
        memory = {}
        for kind in options.kinds:
            with _processes(options) as sides:
                for side, process in sides.items():
                    before = process.ask(op="memory", device=options.device)
                    _make(process, side, case, (kind,), options)
                    built = process.ask(op="memory", device=options.device)
                    for _ in range(options.repeats):
                        process.ask(op="run", kind=kind, steps=_STEPS)
                    after = process.ask(op="memory", device=options.device)
                    memory[f"{side} {kind}"] = {
                        "start": before["resident"],
                        "built": built["resident"] - before["resident"],
                        "growth": after["peak"] - before["resident"],
                    }
        result["cases"].append({**dataclasses.asdict(case), "memory": memory})
    return result


@contextlib.contextmanager
def _processes(options: StepOptions) -> Iterator[dict[str, Resident]]:
    with contextlib.ExitStack() as stack:
        command = child_command("steps_ours")
        sides = {"ours": stack.enter_context(Resident(command, "Our process"))}
        if options.peer_python:
            command = [options.peer_python, str(Path(peer.__file__))]
            name = f"The peer's process ({options.peer_python})"
            sides["peer"] = stack.enter_context(Resident(command, name))
        yield sides


def _make(
    process: Resident,
    side: str,
    case: Case,
    kinds: Sequence[str],
    options: StepOptions,
    weights: dict[str, str] | None = None,
) -> dict[str, Any]:
    more: dict[str, Any] = {"device": options.device, "tf32": options.tf32}
    if side == "peer":
        more["threads"] = os.cpu_count() or 1
    if side == "peer" and weights:
        more["weights"] = weights
    return process.ask(op="make", case=case.to_dict(), kinds=list(kinds), **more)


def _start(
    sides: dict[str, Resident], case: Case, options: StepOptions
) -> tuple[dict[str, str] | None, dict[str, float], float | None]:
    """Build both sides from equal weights.

    Returns:
        The peer's versions, seconds of filling caches, and how far outputs are apart.
    """
    kinds = options.kinds
    about = _make(sides["ours"], "ours", case, kinds, options)
    fill = about["fill_seconds"]
    if "peer" not in sides:
        return None, fill, None
    with tempfile.TemporaryDirectory() as place:
        weights = {kind: f"{place}/{kind}.npz" for kind in kinds}
        for kind, path in weights.items():
            sides["ours"].ask(op="save", kind=kind, path=path)
        its = _make(sides["peer"], "peer", case, kinds, options, weights)
    if its["trained_parameters"] != about["trained_parameters"]:
        raise UserError(
            "Both sides must train as many parameters. Received: "
            f"{about['trained_parameters']} and {its['trained_parameters']}"
        )
    vocabulary = case.to_dict()["sizes"]["vocabulary_size"]
    ids = np.random.default_rng(1).integers(5, vocabulary, (2, case.tokens)).tolist()
    difference = 0.0
    for kind in kinds:
        one, other = (
            np.array(process.ask(op="outputs", kind=kind, ids=ids)["logits"])
            for process in sides.values()
        )
        difference = max(difference, float(np.abs(one - other).max()))
    exact = case.precision == "float32" and not options.tf32
    if exact and difference > _LARGEST_DIFFERENCE:
        raise UserError(
            f"Both sides must give the same outputs. They differ by {difference:.1e}"
        )
    return its["versions"], fill, difference


def _take_turns(
    sides: dict[str, Resident], options: StepOptions
) -> tuple[dict[str, list[dict[str, float]]], int, int]:
    """Turns that count, how many were dropped, and how many count though not quiet."""
    names = [(side, kind) for kind in options.kinds for side in sides]
    times: dict[str, list[dict[str, float]]] = {f"{s} {k}": [] for s, k in names}
    dropped = noisy = 0
    for turn in range(options.warmup + 2 * options.repeats):
        first = turn % len(names)
        took = {}
        quiet = True
        for side, kind in names[first:] + names[:first]:
            before = busy_seconds()
            took[f"{side} {kind}"] = sides[side].ask(op="run", kind=kind, steps=_STEPS)
            quiet = quiet and _is_quiet(before, took[f"{side} {kind}"])
        if turn < options.warmup:
            continue
        # The last turns count as they come: there must be some.
        left = options.warmup + 2 * options.repeats - turn
        wanted = options.repeats - len(next(iter(times.values())))
        if not quiet and left > wanted:
            dropped += 1
            continue
        noisy += not quiet
        for name, one in took.items():
            times[name].append(one)
        if wanted == 1:
            break
    return times, dropped, noisy


def _about(options: StepOptions) -> dict[str, Any]:
    return {
        "peer_python": bool(options.peer_python),
        "turn": _STEPS,
        "device": options.device,
        "tf32": options.tf32,
    }


def _is_quiet(before: float | None, took: dict[str, float]) -> bool:
    after = busy_seconds()
    if before is None or after is None:
        return True
    foreign = after - before - took["cpu"]
    # The system counts in hundredths of a second, for each core.
    return foreign < _FOREIGN * took["wall"] * (os.cpu_count() or 1) + 0.05


def _ratios(times: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians of the turns' own ratios, of all pairs that are of interest."""
    pairs = [
        ("ours train_adapters", "ours train_full"),
        ("ours predict_adapters", "ours predict_base"),
        *((f"ours {kind}", f"peer {kind}") for kind in (*TRAINING, *INFERENCE)),
        ("ours train_adapters", "peer train_full"),
        *((f"ours {kind}", "ours train_adapters") for kind in CACHE[1:]),
    ]
    return {
        f"{one} / {other}": {
            unit: statistics.median(
                mine[unit] / its[unit]
                for mine, its in zip(times[one], times[other], strict=True)
            )
            for unit in ("wall", "cpu")
        }
        for one, other in pairs
        if one in times and other in times
    }


def _title(case: Case) -> str:
    return f"{case.encoder}, {case.rows} x {case.tokens} tokens, {case.precision}"
