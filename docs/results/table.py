"""Prints the table of docs/results.md from the directories of six_tasks.sh.

usage: table.py OUTPUT_DIR
"""

import json
import pathlib
import statistics
import sys

METHODS = ("adapters", "full", "head")


def main(root: pathlib.Path) -> None:
    """Read every finished run and print medians over the seeds, times 100."""
    runs: dict[str, dict[str, list[dict]]] = {}
    for path in sorted(root.glob("*/metrics.json")):
        task, method, _ = path.parent.name.rsplit(".", 2)
        if method in METHODS:
            metrics = json.loads(path.read_text())
            runs.setdefault(task, {}).setdefault(method, []).append(metrics)
    columns = "task metric rows majority adapters full head gap trained"
    print(f"| {columns.replace(' ', ' | ')} |")
    print("|---|---|---|---|---|---|---|---|---|")
    gaps = []
    for task, methods in runs.items():
        first = next(iter(methods.values()))[0]
        metric = next(iter(first["dev"]))
        if len(first["dev"]) > 1:
            metric = {"stsb": "spearman", "mrpc": "f1"}.get(task, "accuracy")
        cells, medians = [], {}
        for method in METHODS:
            values = [100 * run["dev"][metric] for run in methods.get(method, [])]
            if values:
                medians[method] = statistics.median(values)
                cells.append(f"{medians[method]:.1f} ({len(values)})")
            else:
                cells.append("not run")
        gap = ""
        if {"adapters", "full"} <= set(medians):
            gaps.append(medians["full"] - medians["adapters"])
            gap = f"{gaps[-1]:.1f}"
        share = ""
        if "adapters" in methods:
            run = methods["adapters"][0]
            share = f"{run['trainable_parameters'] / run['base_parameters']:.2%}"
        majority = 100 * first["majority_baseline"][metric]
        print(
            f"| {task} | {metric} | {first['train_rows']:,} | {majority:.1f} | "
            f"{' | '.join(cells)} | {gap} | {share} |"
        )
    if gaps:
        print(f"\nMean gap full - adapters: {statistics.mean(gaps):.2f} points.")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
