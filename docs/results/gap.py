"""Full fine-tuning minus adapters at given settings, on dev and on test rows.

usage: gap.py RESULTS.jsonl
"""

import argparse
import json
import pathlib
import statistics
from typing import Any

# Epochs -> learning rates; nothing is selected, so that both kinds of rows are fair.
RATES = {
    5: {"adapters": 1e-3, "full": 1e-4},
    10: {"adapters": 1e-3, "full": 1e-4},
    20: {"adapters": 1e-3, "full": 5e-5},
}


def find(results: list[dict[str, Any]], task: str, epochs: int, method: str) -> list:
    """The results of all seeds of the setting."""
    wanted = {
        "task": task,
        "method": method,
        "epochs": epochs,
        "learning_rate": RATES[epochs][method],
    }
    if method == "adapters":
        wanted |= {"bottleneck_dim": 64, "initializer_stddev": 0.01}
    return [r for r in results if all(r.get(name) == v for name, v in wanted.items())]


def gaps(results: list[dict[str, Any]], task: str, epochs: int) -> list[float] | None:
    """On dev rows, on test rows and on both, in points; seeds that both have."""
    rows = {m: find(results, task, epochs, m) for m in RATES[epochs]}
    seeds = set.intersection(*({r["seed"] for r in part} for part in rows.values()))
    means = {}
    for method, part in rows.items():
        part = [r for r in part if r["seed"] in seeds]
        tested = [r["about"].get("dev_test") for r in part]
        if not part or None in tested:
            return None
        means[method] = (
            statistics.mean(r["score"] for r in part),
            statistics.mean(t[part[0]["metric"]] for t in tested),
        )
    dev, test = (100 * (means["full"][i] - means["adapters"][i]) for i in (0, 1))
    return [dev, test, (dev + test) / 2]


def main() -> None:
    """Print a row for each number of epochs: means over the tasks with test rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=pathlib.Path)
    lines = parser.parse_args().results.read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    print("| epochs | tasks | dev rows | test rows | both |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for epochs in RATES:
        found = [gaps(results, t, epochs) for t in sorted({r["task"] for r in results})]
        columns = list(zip(*(f for f in found if f), strict=True))
        cells = [
            f"{statistics.mean(c):.2f} ± {statistics.stdev(c) / len(c) ** 0.5:.2f}"
            for c in columns
        ]
        print(f"| {epochs} | {len(columns[0])} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
