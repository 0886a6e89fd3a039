"""Tables of docs/results.md at given settings, which no row selected.

usage: fixed_settings.py RESULTS.jsonl gap|settings|sizes
"""

import argparse
import json
import pathlib
import statistics
from collections.abc import Iterable
from typing import Any

Result = dict[str, Any]

# Epochs -> learning rates of the gap.
RATES = {
    5: {"adapters": 1e-3, "full": 1e-4},
    10: {"adapters": 1e-3, "full": 1e-4},
    20: {"adapters": 1e-3, "full": 5e-5},
}
# Epochs and rates that all tasks were run with.
SETTINGS = {
    "adapters": ((5, 5e-4), (5, 1e-3), (10, 1e-3), (10, 2e-3)),
    "full": ((5, 5e-5), (5, 1e-4), (10, 1e-4), (10, 2e-4)),
}
SIZES = (8, 64, 256)


def find(
    results: Iterable[Result],
    task: str,
    method: str,
    epochs: int,
    rate: float,
    size: int = 64,
) -> dict[int, Result]:
    """The results of a setting, by seed."""
    wanted = {
        "task": task,
        "method": method,
        "epochs": epochs,
        "learning_rate": rate,
    }
    if method == "adapters":
        wanted |= {"bottleneck_dim": size, "initializer_stddev": 0.01}
    return {
        r["seed"]: r
        for r in results
        if all(r.get(name) == value for name, value in wanted.items())
    }


def gap_of(results: list[Result], task: str, epochs: int) -> list[float] | None:
    """Full minus adapters on dev rows, on test rows and on both, in points.

    Means over the seeds that both methods have; `None` for a task without test rows.
    """
    trials = {m: find(results, task, m, epochs, r) for m, r in RATES[epochs].items()}
    seeds = set.intersection(*(set(part) for part in trials.values()))
    means = {}
    for method, part in trials.items():
        tested = [part[seed]["about"].get("dev_test") for seed in seeds]
        if not seeds or None in tested:
            return None
        metric = next(iter(part.values()))["metric"]
        means[method] = (
            statistics.mean(part[seed]["score"] for seed in seeds),
            statistics.mean(scores[metric] for scores in tested),
        )
    dev, test = (100 * (means["full"][i] - means["adapters"][i]) for i in (0, 1))
    return [dev, test, (dev + test) / 2]


def gap(results: list[Result], tasks: list[str]) -> list[list[str]]:
    """Means over the tasks with test rows, and their standard errors."""
    rows = [["epochs", "tasks", "dev rows", "test rows", "both"]]
    for epochs in RATES:
        found = [gap_of(results, task, epochs) for task in tasks]
        columns = list(zip(*(f for f in found if f), strict=True))
        cells = [
            f"{statistics.mean(c):.2f} ± {statistics.stdev(c) / len(c) ** 0.5:.2f}"
            for c in columns
        ]
        rows.append([str(epochs), str(len(columns[0])), *cells])
    return rows


def settings(results: list[Result], tasks: list[str]) -> list[list[str]]:
    """Means over all tasks, of seed 0."""
    rows = [["", *(f"{epochs} epochs" for epochs, _ in SETTINGS["full"])]]
    for method, pairs in SETTINGS.items():
        cells = []
        for epochs, rate in pairs:
            found = [find(results, t, method, epochs, rate)[0]["score"] for t in tasks]
            cells.append(f"{100 * statistics.mean(found):.1f} ({rate:g})")
        rows.append([method, *cells])
    return rows


def sizes(results: list[Result], tasks: list[str]) -> list[list[str]]:
    """Adapters of several sizes, seed 0, 10 epochs at 2e-3."""
    rows = [["task", *(f"{size} units" for size in SIZES)]]
    columns: list[list[float]] = [[] for _ in SIZES]
    for task in tasks:
        for size, column in zip(SIZES, columns, strict=True):
            trials = find(results, task, "adapters", 10, 2e-3, size)
            column.append(100 * trials[0]["score"])
        rows.append([task, *(f"{column[-1]:.1f}" for column in columns)])
    rows.append(["average", *(f"{statistics.mean(c):.1f}" for c in columns)])
    return rows


def main() -> None:
    """Print one of the tables as Markdown."""
    tables = {"gap": gap, "settings": settings, "sizes": sizes}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("table", choices=tables)
    args = parser.parse_args()
    lines = args.results.read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    header, *rows = tables[args.table](results, sorted({r["task"] for r in results}))
    print(f"| {' | '.join(header)} |")
    print(f"|{' --- |' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
