"""The results of `serving` as Markdown."""

from typing import Any

from benchmarks.report import machine_line, megabytes, milliseconds, table


def as_markdown(result: dict[str, Any]) -> str:
    """The whole result as a page of tables."""
    parts = [
        "# Serving many tasks",
        _about(result),
        "## Speed",
        "Milliseconds a batch, wall / CPU; medians of calls that take turns.",
        _speed(result),
        "Ratios, wall / CPU, medians over the rounds.",
        _ratios(result),
        "## Memory, start-up and disk",
        _loads(result),
        _memory(result),
        "## Agreement",
        _agreement(result),
        "## Writing and adding",
        _writing(result),
    ]
    return "\n\n".join(parts) + "\n"


def _about(result: dict[str, Any]) -> str:
    options = result["options"]
    return (
        f"{machine_line(result['machine'])}. Base {options['preset']}, "
        f"bottleneck {options['bottleneck_dim']}, up to "
        f"{options['seq_length']} tokens; {options['repeats']} rounds of calls, "
        f"{options['load_repeats']} processes a start-up. Every call is a run of a "
        "TF1 session on the signature's tensors, as in TensorFlow Serving."
    )


def _speed(result: dict[str, Any]) -> str:
    names = ("plain", "single", "mixed", "one after another")
    rows = []
    for one, speed in _speeds(result):
        for path in ("tokens", "text"):
            times = speed[path]["times"]
            rows.append(
                [
                    _batch(one, speed, path),
                    *(
                        f"{milliseconds(times[name]['wall_seconds'])} / "
                        f"{milliseconds(times[name]['cpu_seconds'])}"
                        for name in names
                    ),
                ]
            )
    return table(["batch", *names], rows)


def _ratios(result: dict[str, Any]) -> str:
    rows, names = [], []
    for one, speed in _speeds(result):
        for path in ("tokens", "text"):
            ratios = speed[path]["ratios"]
            names = list(ratios)
            values = [f"{r['wall']:.2f} / {r['cpu']:.2f}" for r in ratios.values()]
            rows.append([_batch(one, speed, path), *values])
    return table(["batch", *names], rows)


def _speeds(result: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(one, speed) for one in result["servables"] for speed in one["speed"]]


def _batch(one: dict[str, Any], speed: dict[str, Any], path: str) -> str:
    return (
        f"{one['tasks']} tasks in the servable: {speed['rows']} rows of "
        f"{speed['tasks']}, {path}, {speed['mean_tokens']:.0f} tokens a row, padded to "
        f"{speed['padded_length']}"
    )


def _loads(result: dict[str, Any]) -> str:
    separate = result["separate_models"]
    rows = []
    for one in result["servables"]:
        count = one["tasks"]
        rows.append(
            [f"servable, {count} tasks", *_load(one["load"], one["size_on_disk"])]
        )
        mixed = _load(one["load_mixed_only"], one["size_on_disk"])
        rows.append([f"mixed_text only, {count} tasks", *mixed[:3], ""])
        rows.append(
            [
                f"{count} fine-tuned models (computed)",
                *_load(separate["load_1"], separate["size_on_disk"], count),
            ]
        )
    for field, models in (("load_1", 1), ("load", separate["models"])):
        size = separate["size_on_disk"] * models
        row = [f"{models} fine-tuned (loaded)", *_load(separate[field], size)]
        rows.append(row)
    columns = ["", "load s (CPU)", "first call s (CPU)", "memory MB", "disk MB"]
    return table(columns, rows)


def _load(load: dict[str, Any], size: float, times: int = 1) -> list[str]:
    def seconds(stage: str) -> str:
        wall, cpu = (load[stage][k] * times for k in ("wall_seconds", "cpu_seconds"))
        return f"{wall:.2f} ({cpu:.2f})"

    resident = load["resident_bytes"]
    memory = times * (resident["called"] - resident["before"])
    return [
        seconds("load"),
        seconds("first"),
        megabytes(memory),
        megabytes(times * size),
    ]


def _memory(result: dict[str, Any]) -> str:
    rows = []
    for one in result["servables"]:
        memory = one["memory"]
        rows.append(
            [
                f"{one['tasks']} tasks",
                megabytes(one["adapter_bytes"]),
                megabytes(memory["bytes_per_task"]),
                f"{memory['per_task_by_adapter_bytes']:.2f}",
                megabytes(memory["bytes_per_task_with_own_signatures"]),
                megabytes(memory["bytes_per_own_signature"]),
            ]
        )
    columns = [
        "",
        "adapter MB",
        "memory MB a task",
        "memory / adapter",
        "with own signatures",
        "more for each of these once called",
    ]
    return table(columns, rows)


def _agreement(result: dict[str, Any]) -> str:
    rows = []
    for one in result["servables"]:
        agreement = one["agreement"]
        for other, found in agreement["differences"].items():
            rows.append(
                [
                    f"{one['tasks']} tasks: mixed_text against {other}",
                    str(agreement["texts"]),
                    f"{found['max_abs']:.1e}",
                    str(found["others"]),
                ]
            )
    columns = ["", "texts", "largest difference", "rows with another label"]
    return table(columns, rows)


def _writing(result: dict[str, Any]) -> str:
    rows = []
    for one in result["servables"]:
        stages = one["writing"] | {
            "export an adapter": one["adding"]["adapter"],
            "add it": one["adding"]["add"],
        }
        rows += [
            [
                f"{one['tasks']} tasks: {stage.replace('_', ' ')}",
                f"{time['wall_seconds']:.1f}",
                f"{time['cpu_seconds']:.1f}",
            ]
            for stage, time in stages.items()
        ]
    return table(["", "wall s", "CPU s"], rows)
