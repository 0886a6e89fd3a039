"""Prints the table of docs/results.md from the directories of six_tasks.py.

usage: table.py OUTPUT_DIR [--seeds=0,1,2]
"""

import argparse
import json
import pathlib
import statistics

import six_tasks


def cell(out: pathlib.Path, task: str, method: str, seeds: list[int]):
    """Median over the seeds at the chosen rate, times 100, and the cell's text."""
    rate = six_tasks.best_rate(out, task, method, seeds[0])
    if rate is None:
        return None, "not run"
    values = [six_tasks.dev_metric(out, task, method, rate, s) for s in seeds]
    values = [100 * value for value in values if value is not None]
    median = statistics.median(values)
    spread = f"{min(values):.1f}-{max(values):.1f}"
    count = "" if len(values) == len(seeds) else f", {len(values)} seed(s)"
    return median, f"{median:.1f} ({spread}; {rate:g}{count})"


def main() -> None:
    """Print one row a task and the mean gaps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output_dir", type=pathlib.Path)
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    columns = ["task", "metric", "rows", "majority", *six_tasks.RATES, "gap", "trained"]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    gaps = []
    for task, metric in six_tasks.METRICS.items():
        medians, cells = {}, []
        for method in six_tasks.RATES:
            medians[method], text = cell(args.output_dir, task, method, seeds)
            cells.append(text)
        paths = sorted(args.output_dir.glob(f"{task}.adapters.*/metrics.json"))
        if not paths:
            continue
        run = json.loads(paths[0].read_text())
        gap = ""
        if None not in (medians["full"], medians["adapters"]):
            gaps.append(medians["full"] - medians["adapters"])
            gap = f"{gaps[-1]:.1f}"
        share = f"{run['trainable_parameters'] / run['base_parameters']:.2%}"
        majority = f"{100 * run['majority_baseline'][metric]:.1f}"
        row = [task, metric, f"{run['train_rows']:,}", majority, *cells, gap, share]
        print(f"| {' | '.join(row)} |")
    if gaps:
        print(f"\nMean gap full - adapters: {statistics.mean(gaps):.2f} points.")


if __name__ == "__main__":
    main()
