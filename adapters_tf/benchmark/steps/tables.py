"""Steps and their memory as tables, and what they were to reach."""

from typing import Any

from adapters_tf.benchmark.machine import machine_line
from adapters_tf.benchmark.report import megabytes, milliseconds, table

# A ratio of times -> the most that it may be, and what was hoped for: performance of
# AdapterHub at least, and the paper's saving of a training step.
_LIMITS = {
    "ours train_adapters / ours train_full": (0.80, 0.70),
    "ours predict_adapters / ours predict_base": (1.15, 1.05),
    "ours train_top-memory / ours train_adapters": (1 / 1.9, 1 / 2.5),
    "ours train_top-disk / ours train_adapters": (1 / 1.9, 1 / 2.5),
}
# Of the precision, against the peer's step.
_PEER_LIMITS = {"float32": (1.0, 1 / 1.3), "mixed_bfloat16": (1.0, 1 / 1.5)}
_MEMORY_LIMIT = (1.1, 0.7)


def find_bars(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Each limit with the value that was measured.

    Args:
        result: Of `measure_steps` or `measure_memory`.

    Returns:
        `name`, `limit`, `goal`, `value` and `met` of each, smaller being better.
    """
    bars = []
    for case in result["cases"]:
        where = _where(case)
        for name, ratio in case.get("ratios", {}).items():
            limits = _LIMITS.get(name)
            if name == "ours train_adapters / peer train_adapters":
                limits = _PEER_LIMITS[case["precision"]]
            if limits:
                bars.append(_bar(f"{where}: {name}", limits, ratio["wall"]))
        memory = case.get("memory", {})
        pair = [f"{side} train_adapters" for side in ("ours", "peer")]
        if set(pair) <= set(memory):
            ours, its = (memory[name]["growth"] for name in pair)
            name = f"{where}: growth of memory, ours / peer"
            bars.append(_bar(name, _MEMORY_LIMIT, ours / its))
    return bars


def _bar(name: str, limits: tuple[float, float], value: float) -> dict[str, Any]:
    return {
        "name": name,
        "limit": limits[0],
        "goal": limits[1],
        "value": value,
        "met": value <= limits[0],
    }


def as_markdown(title: str, result: dict[str, Any]) -> str:
    """The report.

    Args:
        title: Its heading.
        result: Of `measure_steps` or `measure_memory`, with `goals`.
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
    if result["goals"]:
        rows = [
            [
                goal["name"],
                f"{goal['limit']:.2f}",
                f"{goal['goal']:.2f}",
                f"{goal['value']:.2f}",
                "yes" if goal["met"] else "**no**",
            ]
            for goal in result["goals"]
        ]
        ratio = "ratio of wall times" if "times" in result["cases"][0] else "ratio"
        parts += [
            "## Limits",
            table([ratio, "at most", "goal", "found", "met"], rows),
        ]
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
    notes = [f"{case['turns_dropped']} turns were dropped for foreign load."]
    if case["turns_noisy"]:
        notes.append(f"**{case['turns_noisy']} turns with foreign load count.**")
    for kind, seconds in case["fill_seconds"].items():
        notes.append(f"{kind}: computing what is kept took {seconds:.1f} s.")
    if case["largest_difference_of_outputs"] is not None:
        notes.append(
            "Largest difference of the outputs, ours and the peer's: "
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
