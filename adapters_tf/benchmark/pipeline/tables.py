"""The input pipeline as tables, and what it was to reach."""

from typing import Any

from adapters_tf.benchmark.machine import machine_line
from adapters_tf.benchmark.pipeline.ways import BUCKETED, LONGEST, PADDED
from adapters_tf.benchmark.report import bar, limits_table, table

# A real epoch against padding to the longest input: at least, and hoped for.
_EPOCH_LIMIT = (2.5, 4.0)
# The input must never be what training waits for: less than a step takes.
_SHARE_LIMIT = (1.0, 0.1)


def find_bars(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Each limit with the value that was measured.

    Args:
        result: Of `measure_pipeline`.

    Returns:
        `name`, `kind` (`"most"` or `"least"`), `limit`, `goal`, `value` and `met`.
    """
    epochs = result["epochs"]
    longest = result["options"]["seq_length"]
    bucketed = epochs[BUCKETED]
    faster = epochs[PADDED]["wall_seconds"] / bucketed["wall_seconds"]
    share = bucketed["input_seconds"] / bucketed["wall_seconds"]
    name = f"real epoch of {result['task']}: padding to {longest} / bucketed"
    return [
        bar(name, "least", _EPOCH_LIMIT, faster),
        bar("making batches / training on them", "most", _SHARE_LIMIT, share),
    ]


def as_markdown(result: dict[str, Any]) -> str:
    """The report.

    Args:
        result: Of `measure_pipeline`, with `goals`.
    """
    options = result["options"]
    head = (
        f"{machine_line(result['machine'])}. {result['task']}: {result['rows']:,} "
        f"training rows of {result['tokens'] / result['rows']:.1f} tokens on average; "
        f"base {options['preset']}, adapters of {options['bottleneck_dim']} units, "
        f"batches of {options['batch_size']} rows of at most {options['seq_length']} "
        "tokens, float32."
    )
    return (
        "\n\n".join(
            [
                "# Data",
                head,
                "## Stages",
                _stages(result),
                "## Padding",
                _fill(result),
                "## Order",
                f"{result['order_epochs']} epochs in batches of like length; the "
                "farthest from a fair shuffle, or the mean.",
                _order(result),
                "## Epochs",
                f"{options['repeats']} epochs of {result['epoch_rows']:,} rows each "
                "way, in turns; medians. `input`: making the batches alone.",
                _epochs(result),
                "## Limits",
                limits_table(result["goals"], "ratio of wall times"),
            ]
        )
        + "\n"
    )


def _stages(result: dict[str, Any]) -> str:
    mean = result["tokens"] / result["rows"]
    rows = []
    for name, stage in result["stages"].items():
        speed = stage["rows"] / max(stage["wall_seconds"], 1e-9)
        rows.append(
            [
                name,
                f"{stage['wall_seconds']:.2f}",
                f"{stage['cpu_seconds']:.2f}",
                f"{speed:,.0f}",
                "" if name.startswith("reading") else f"{mean * speed:,.0f}",
            ]
        )
    return table(["all rows once", "s", "CPU s", "rows/s", "tokens/s"], rows)


def _fill(result: dict[str, Any]) -> str:
    rows = [
        [
            way,
            f"{fill['steps']:,}",
            f"{fill['padded_tokens']:,}",
            f"{100 * fill['fill']:.1f}%",
        ]
        for way, fill in result["fill"].items()
    ]
    return table(["padded", "steps", "tokens with padding", "no padding"], rows)


def _order(result: dict[str, Any]) -> str:
    rows = []
    for name, found in result["order"].items():
        fair = f"{found['fair']:.4f}"
        if "deviation" in found:
            fair += f" ± {found['deviation']:.4f}"
        rows.append([name, f"{found['value']:.4f}", fair])
    return table(["", "found", "fair shuffle"], rows)


def _epochs(result: dict[str, Any]) -> str:
    epochs = result["epochs"]
    slowest = epochs[PADDED]["wall_seconds"]
    rows = []
    for way in (PADDED, LONGEST, BUCKETED):
        epoch = epochs[way]
        wall = epoch["wall_seconds"]
        rows.append(
            [
                way,
                f"{wall:.1f}",
                f"{epoch['cpu_seconds']:.1f}",
                f"{result['epoch_rows'] / wall:.1f}",
                f"{slowest / wall:.2f}x",
                f"{epoch['input_seconds']:.2f}",
                f"{100 * epoch['input_seconds'] / wall:.1f}%",
            ]
        )
    columns = ["padded", "s", "CPU s", "rows/s", "faster", "input s", "of the epoch"]
    return table(columns, rows)
