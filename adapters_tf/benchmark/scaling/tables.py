"""How costs grow, as tables."""

from typing import Any

from adapters_tf.benchmark.machine import machine_line
from adapters_tf.benchmark.report import table
from adapters_tf.benchmark.scaling.laws import BEND

AXES = {
    "seq_length": "tokens of a row",
    "rows": "rows of a batch",
    "bottleneck_dim": "units of the adapters",
    "tasks": "tasks of a servable",
}
"""What each axis counts."""


def as_markdown(result: dict[str, Any]) -> str:
    """The report.

    Args:
        result: Of `measure_scaling`.
    """
    options = result["options"]
    parts = [
        "# Scaling",
        f"{machine_line(result['machine'])}. Base {options['preset']}, prediction in "
        f"float32; medians of {options['repeats']} rounds of calls, a process for each "
        "size of a servable.",
        "## Laws",
        _laws(result["sweeps"]),
        f"`exponent`: of a power of the size, over all sizes; at the end: of the last "
        f"two. `off`: the point farthest from the law, by the law. It bends where a "
        f"point is more than {100 * BEND:.0f}% off.",
    ]
    for axis, what in AXES.items():
        own = [sweep for sweep in result["sweeps"] if sweep["axis"] == axis]
        if own:
            parts += [f"## By {what}", f"{own[0]['fixed']}.", _points(what, own)]
    return "\n\n".join(parts) + "\n"


def _laws(sweeps: list[dict[str, Any]]) -> str:
    rows = []
    for sweep in sweeps:
        fit = sweep["fit"]
        law = f"{fit['intercept']:.3g}"
        if fit["law"] == "linear":
            law += f" + {fit['slope']:.3g} n"
        rows.append(
            [
                f"{sweep['measure']} by {AXES[sweep['axis']]}",
                f"{fit['law']}: {law}",
                f"{fit['exponent']:.2f}",
                f"{fit['last_exponent']:.2f}",
                f"{100 * fit['residual']:.0f}%",
                ", ".join(map(str, fit["bends"])) or "nowhere",
            ]
        )
    columns = ["", "law", "exponent", "at the end", "off", "bends at"]
    return table(columns, rows)


def _points(what: str, sweeps: list[dict[str, Any]]) -> str:
    rows = [
        [f"{size:,}", *(f"{sweep['costs'][i]:,.1f}" for sweep in sweeps)]
        for i, size in enumerate(sweeps[0]["sizes"])
    ]
    return table([what, *(sweep["measure"] for sweep in sweeps)], rows)
