"""Times to a dev metric as tables, and what they were to reach."""

from typing import Any

from adapters_tf.benchmark.machine import machine_line
from adapters_tf.benchmark.report import bar, limits_table, table

# Of the peer's time, at most, and what was hoped for.
_LIMIT = (0.5, 0.2)


def find_bars(result: dict[str, Any]) -> list[dict[str, Any]]:
    """For each task our time to the peer's metric by the peer's time; see `bar`."""
    bars = []
    for task in result["tasks"]:
        reached = task["ours"]["reached"]
        value = reached and reached["seconds"] / task["peer"]["wall_seconds"]
        name = f"{task['task']}: time to the peer's {result['metric']} / its time"
        bars.append(bar(name, "most", _LIMIT, value))
    return bars


def as_markdown(result: dict[str, Any]) -> str:
    """The report.

    Args:
        result: Of `measure_time_to_quality`, with `goals`.
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
                _tasks(result),
                *_notes(result),
                "## Epochs",
                _epochs(result),
                "## Limits",
                limits_table(result["goals"], "ratio of wall times"),
            ]
        )
        + "\n"
    )


def _tasks(result: dict[str, Any]) -> str:
    rows = []
    for task in result["tasks"]:
        peer, ours = task["peer"], task["ours"]
        reached = ours["reached"]
        rows.append(
            [
                f"{task['task']}, {task['train_rows']:,} rows",
                f"{task['majority']:.4f}",
                f"{peer[result['metric']]:.4f}",
                f"{peer['wall_seconds']:.0f}",
                f"{reached['seconds']:.0f}" if reached else "never",
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
        "our whole run s",
        "CPU of whole runs, ours / peer",
        "taken by others, peer / ours",
    ]
    return table(columns, rows)


def _notes(result: dict[str, Any]) -> list[str]:
    """Where the peer found nothing, reaching the same says nothing."""
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


def _epochs(result: dict[str, Any]) -> str:
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
