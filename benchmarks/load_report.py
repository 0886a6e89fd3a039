"""Tables and a figure of the job `load`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.load_client import OK
from benchmarks.report import machine_line, table

# p95 in a published account of 1,024 adapters on one L4 GPU, at 97 requests/s.
ANCHOR_MS = 177.0
_COLORS = {"grpc": "#0072B2", "rest": "#D55E00"}
_LINES = ("-", (0, (4, 2)), (0, (1, 1)))


def fast_enough(steps: Sequence[Mapping[str, Any]]) -> float | None:
    """The highest offered rate up to which all is answered, with p95 <= `ANCHOR_MS`.

    Args:
        steps: Of a sweep, in the order of the rates.

    Returns:
        Requests per second, or `None` if not even the lowest rate is.
    """
    found = None
    for step in steps:
        p95 = step["latency"]["p95"]
        if set(step["statuses"]) != {OK} or p95 is None or p95 > ANCHOR_MS:
            break
        found = step["offered"]
    return found


def most(steps: Sequence[Mapping[str, Any]]) -> float:
    """The most that was answered per second."""
    return max(step["answered"] for step in steps)


def as_markdown(result: dict[str, Any]) -> str:
    """The report.

    Args:
        result: Of `measure_load`.
    """
    options = result["options"]
    machine = result["machine"]
    parts = [
        "# Load",
        f"{machine_line(machine)}. Adapters of {options['bottleneck_dim']} units; "
        f"single rows of up to {options['seq_length']} tokens, "
        f"{result['texts']['mean_words']:.0f} words in the mean; "
        f"{options['seconds']:g} s a step.",
        _others(result),
        _overview(result["sweeps"]),
        "`fast enough` is the highest rate up to which every request is answered, and "
        f"95% of them within {ANCHOR_MS:g} ms. `at the end` is what is answered at the "
        "highest rate offered, by the most that was answered at any.",
    ]
    for one in result["sweeps"]:
        parts += [f"## {_name(one)}", _steps(one["steps"])]
    return "\n\n".join(parts) + "\n"


def _others(result: Mapping[str, Any]) -> str:
    """How busy other processes kept the machine."""
    shares = [
        step["foreign"]
        for one in result["sweeps"]
        for step in one["steps"]
        if step["foreign"] is not None
    ]
    if not shares:
        return "How busy other processes kept the server's machine is not known."
    mean = sum(shares) / len(shares)
    return (
        f"Other processes took {100 * mean:.0f}% of the machine in the mean, and "
        f"{100 * max(shares):.0f}% in the worst step."
    )


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['encoder']}, {one['protocol']}, {one['tasks']:,} task(s)"


def _overview(sweeps: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for one in sweeps:
        steps = one["steps"]
        rate, last = fast_enough(steps), steps[-1]
        refused = _number(last["refusal"]["p50"])
        rows.append(
            [
                _name(one),
                "none" if rate is None else f"{rate:g}",
                f"{most(steps):.0f}",
                f"{last['offered']:g}",
                f"{100 * last['answered'] / max(most(steps), 1e-9):.0f}%",
                refused,
            ]
        )
    columns = ["", "fast enough, requests/s", "most answered/s", "highest offered/s"]
    return table([*columns, "at the end", "p50 of a refusal there, ms"], rows)


def _steps(steps: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for step in steps:
        latency = step["latency"]
        foreign = step["foreign"]
        rows.append(
            [
                f"{step['offered']:g}",
                f"{step['arrived']:.0f}",
                f"{step['answered']:.0f}",
                *(_number(latency[name]) for name in ("p50", "p95", "p99")),
                _statuses(step["statuses"]),
                _number(step["refusal"]["p95"]),
                "" if foreign is None else f"{100 * foreign:.0f}%",
            ]
        )
    columns = ["offered/s", "arrived/s", "answered/s", "p50, ms", "p95", "p99"]
    more = ["not answered", "p95 of these", "taken by other processes"]
    return table([*columns, *more], rows)


def _statuses(statuses: Mapping[str, int]) -> str:
    others = [f"{count} {name}" for name, count in statuses.items() if name != OK]
    return ", ".join(others) or "none"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw latency and answers against offered load, as `path`.png and .svg.

    Args:
        result: Of `measure_load`.
        path: Without a suffix.
    """
    # Imported here: the tables need no matplotlib.
    from adapters_tf.study.report.figures import new_figure, save, style

    encoders = list(dict.fromkeys(one["encoder"] for one in result["sweeps"]))
    with style():
        figure = new_figure(6.4, 0.5 + 2.3 * len(encoders))
        grid = figure.subplots(len(encoders), 2, squeeze=False)
        for (latency, answered), encoder in zip(grid, encoders, strict=True):
            own = [one for one in result["sweeps"] if one["encoder"] == encoder]
            _panels(latency, answered, own)
            latency.set_title(f"{encoder}: p95 of answered, ms", loc="left")
            answered.set_title(f"{encoder}: answered/s", loc="left")
        figure.supxlabel("offered requests/s", fontsize=8)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
    save(figure, path)


def _panels(latency: Any, answered: Any, sweeps: Sequence[Mapping[str, Any]]) -> None:
    counts = sorted({one["tasks"] for one in sweeps}, reverse=True)
    for one in sweeps:
        steps = [step for step in one["steps"] if step["latency"]["p95"] is not None]
        look: dict[str, Any] = {
            "color": _COLORS[one["protocol"]],
            "linestyle": _LINES[counts.index(one["tasks"]) % len(_LINES)],
            "label": f"{one['protocol']}, {one['tasks']:,} task(s)",
            "marker": "o",
            "markersize": 3,
        }
        offered = [step["offered"] for step in steps]
        latency.plot(offered, [step["latency"]["p95"] for step in steps], **look)
        answered.plot(offered, [step["answered"] for step in steps], **look)
    highest = max(step["offered"] for one in sweeps for step in one["steps"])
    top = max(most(one["steps"]) for one in sweeps)
    goal: dict[str, Any] = {"color": "#555555", "linewidth": 0.8, "linestyle": ":"}
    latency.axhline(ANCHOR_MS, label=f"{ANCHOR_MS:g} ms", **goal)
    answered.plot([0, top], [0, top], label="all answered", **goal)
    latency.set_yscale("log")
    for axes in (latency, answered):
        axes.set_xlim(0, highest * 1.05)
    answered.set_ylim(0, top * 1.15)
