"""Adapters, full fine-tuning and head only on six tasks; see docs/results.md.

usage: six_tasks.py DATA_DIR OUTPUT_DIR [--tasks=...] [--seeds=0,1,2] [--methods=...]
                    [--jobs=1]

DATA_DIR holds the folders cola, sst2, mrpc, stsb (GLUE files), sms_spam
(SMSSpamCollection) and cf_airline (Tweets.csv). Every method gets the same number of
trials: each of its learning rates with the first seed; the better one on the dev rows
is then run with the other seeds. Finished runs are skipped, an interrupted one is
continued: start the same command again. `table.py OUTPUT_DIR` prints the table.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess

# The defaults of adapters-tf-train. With more, each method should have as many.
RATES = {"adapters": (1e-3,), "full": (1e-4,), "head": (1e-3,)}
METRICS = {
    "mrpc": "f1",
    "cola": "matthews",
    "stsb": "spearman",
    "sms_spam": "accuracy",
    "cf_airline": "accuracy",
    "sst2": "accuracy",
}


def task_flags(task: str, data: pathlib.Path) -> list[str]:
    """The flags of adapters-tf-train that name the task's rows."""
    if task == "sms_spam":
        file = data / "sms_spam" / "SMSSpamCollection"
        columns = ["--label_column=0", "--text_columns=1", "--dev_fraction=0.2"]
        form = ["--noheader", "--delimiter=\\t", "--noquoting"]
        return [f"--train_file={file}", *form, *columns]
    if task == "cf_airline":
        file = data / "cf_airline" / "Tweets.csv"
        columns = ["--text_columns=text", "--label_column=airline_sentiment"]
        return [f"--train_file={file}", *columns, "--max_train_examples=5000"]
    limit = ["--max_train_examples=10000"] if task == "sst2" else []
    return [f"--task={task}", f"--data_dir={data}", *limit]


def run_dir(out: pathlib.Path, task: str, method: str, rate: float, seed: int):
    """Where a run lies: TASK.METHOD.RATE.SEED."""
    return out / f"{task}.{method}.{rate:g}.{seed}"


def dev_metric(out: pathlib.Path, task: str, method: str, rate: float, seed: int):
    """The dev metric of a finished run, or None."""
    path = run_dir(out, task, method, rate, seed) / "metrics.json"
    return json.loads(path.read_text())["dev"][METRICS[task]] if path.exists() else None


def best_rate(out: pathlib.Path, task: str, method: str, seed: int) -> float | None:
    """The rate with the best dev metric of `seed`; None until all have finished."""
    trials = [(dev_metric(out, task, method, r, seed), r) for r in RATES[method]]
    return None if any(m is None for m, _ in trials) else max(trials)[1]


def one_run(args: argparse.Namespace, task: str, method: str, rate: float, seed: int):
    """Train once; a run that fails is named and does not end the others."""
    directory = run_dir(args.output_dir, task, method, rate, seed)
    if (directory / "metrics.json").exists():
        return
    command = ["adapters-tf-train", *task_flags(task, args.data_dir)]
    command += [f"--tuning={method}", f"--learning_rate={rate:g}", f"--seed={seed}"]
    threads = str(max(1, (os.cpu_count() or 1) // args.jobs))
    environment = {
        **os.environ,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1",
    }
    with open(f"{directory}.log", "w", encoding="utf-8") as log:
        code = subprocess.run(
            [*command, f"--output_dir={directory}"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        ).returncode
    outcome = "done" if code == 0 else f"FAILED, see {log.name}"
    print(directory.name, outcome, flush=True)


def other_seeds(args: argparse.Namespace, task: str, method: str, seed: int):
    """Run `seed` at the rate that the first seed's trials chose."""
    rate = best_rate(args.output_dir, task, method, args.seeds[0])
    if rate is not None:
        one_run(args, task, method, rate, seed)


def main() -> None:
    """Run what has not been run yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir", type=pathlib.Path)
    parser.add_argument("output_dir", type=pathlib.Path)
    parser.add_argument("--tasks", default=",".join(METRICS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--methods", default=",".join(RATES))
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    args = parser.parse_args()
    args.seeds = [int(seed) for seed in args.seeds.split(",")]
    args.methods = args.methods.split(",")
    args.tasks = args.tasks.split(",")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for method in args.methods:
            for task in args.tasks:
                for rate in RATES[method]:
                    pool.submit(one_run, args, task, method, rate, args.seeds[0])
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for seed in args.seeds[1:]:
            for method in args.methods:
                for task in args.tasks:
                    pool.submit(other_seeds, args, task, method, seed)


if __name__ == "__main__":
    main()
