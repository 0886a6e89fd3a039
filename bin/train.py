"""adapters-tf-train: train adapters, or a baseline, on a task."""

import dataclasses
import re
from typing import Any

from adapters_tf.adapters import AdapterConfig
from adapters_tf.adapters.base import SUBLAYERS
from adapters_tf.bin.flags import (
    CACHE_FLAGS,
    cache_config,
    define_cache_flags,
    define_train_file_flags,
    file_format,
)
from adapters_tf.bin.program import Groups, run
from adapters_tf.data.examples import TaskData
from adapters_tf.errors import UserError
from adapters_tf.models.trainable_set import METHODS, Tuning
from adapters_tf.tasks.source import TaskSource, task_names
from adapters_tf.training.config import (
    DEFAULT_LEARNING_RATES,
    TrainConfig,
    TrainJob,
    default_epochs,
)
from adapters_tf.training.devices import STRATEGIES, get_strategy
from adapters_tf.training.predict_texts import predict_texts
from adapters_tf.training.prefix_cache import PrefixCache
from adapters_tf.training.run import run_job
from adapters_tf.training.run_dir import check_run
from adapters_tf.training.workers import is_chief

# Without flags, the program trains a demo that takes a few minutes on two cores.
_DEMO_TRAIN_ROWS = 6000
_DEMO_EPOCHS = 2
_DEMO_TEXTS = (
    "thank you so much, this made my day",
    "the flight was cancelled and nobody told us anything",
    "the meeting is on tuesday at ten",
)


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Trains adapters on a task and saves them.\n"
        "With no flags: a small encoder on tweets, both from the package index.\n"
        "  adapters-tf-train --preset=bert_base_en_uncased --train_file=rows.csv \\\n"
        "      --text_columns=text --label_column=label --output_dir=out"
    )
    g.group("Task")
    g.string("task", None, f"one of {', '.join(task_names())}")
    g.string("data_dir", None, "folder with the task's public files [TFDS]")
    g.string("tfds_data_dir", None, "folder of TensorFlow Datasets")
    define_train_file_flags(g)
    g.integer("max_train_examples", None, "train on this many rows, drawn at random")
    g.group("Model")
    g.string("preset", "demo", "keras-hub preset, handle, directory, or `demo`")
    g.choice("tuning", "adapters", METHODS, "what learns")
    g.integer("top_n", None, "number of blocks, with tuning=top_n")
    g.integer("bottleneck_dim", 64, "units of an adapter's bottleneck")
    g.strings("adapter_sublayers", list(SUBLAYERS), "which sub-layers get one")
    g.strings("adapter_layers", None, "blocks that get them: 0,1,5 or top3 [all]")
    g.number("initializer_stddev", 1e-2, "of the adapters' kernels")
    g.choice("head_input", "cls", ("cls", "pooled", "mean"), "what the head reads")
    g.integer("seq_length", 128, "longest input, in tokens")
    g.choice("precision", "float32", ("float32", "mixed_bfloat16"), "of computations")
    g.group("Training")
    g.integer("epochs", None, "passes over the rows [3; up to 20 on less than 3,400]")
    g.integer("batch_size", 32, "rows of a batch")
    rates = ", ".join(f"{k} {v:g}" for k, v in DEFAULT_LEARNING_RATES.items())
    g.number("learning_rate", None, f"peak rate [{rates}]")
    g.number("warmup_proportion", 0.1, "part of the steps")
    g.number("weight_decay", 0.01, "decoupled")
    g.integer("seed", 0, "same seed, same result")
    g.choice("distribution_strategy", "one_device", STRATEGIES, "devices to train on")
    g.string("tpu", "local", "name or address, with distribution_strategy=tpu")
    g.boolean("jit_compile", False, "compile the train step with XLA")
    g.integer("steps_per_loop", 20, "steps between two looks at the loss")
    g.integer("checkpoint_interval", 200, "steps between two checkpoints")
    define_cache_flags(g)
    g.group("Output")
    g.string("output_dir", "adapters-tf-run", "new, or that of the run to continue")
    g.boolean("overwrite", False, "replace the run that is in output_dir")
    return g


def job_from_flags(flags: Any) -> TrainJob:
    """Return the training run that the flags describe."""
    layers = _layers(flags.adapter_layers)
    if flags.seq_length < 8:
        raise UserError(
            f"--seq_length must be 8 or more. Received: --seq_length={flags.seq_length}"
        )
    tuning = Tuning(flags.tuning, flags.top_n)
    rate = flags.learning_rate
    if rate is None:
        rate = DEFAULT_LEARNING_RATES[tuning.method]
    return TrainJob(
        preset=flags.preset,
        tuning=tuning,
        adapter=AdapterConfig(
            bottleneck_dim=flags.bottleneck_dim,
            sublayers=tuple(flags.adapter_sublayers),
            layers=layers,
            initializer_stddev=flags.initializer_stddev,
        ),
        head={"head_input": flags.head_input},
        seq_length=flags.seq_length,
        precision=flags.precision,
        config=TrainConfig(
            epochs=TrainConfig.epochs if flags.epochs is None else flags.epochs,
            batch_size=flags.batch_size,
            learning_rate=rate,
            warmup_proportion=flags.warmup_proportion,
            weight_decay=flags.weight_decay,
            seed=flags.seed,
            steps_per_loop=flags.steps_per_loop,
            jit_compile=flags.jit_compile,
            checkpoint_interval=flags.checkpoint_interval,
        ),
    )


def _layers(given: list[str] | None) -> tuple[int, ...] | None:
    """Return block indices; for `top3`, negative ones that count from the top."""
    if given is None:
        return None
    text = ",".join(given)
    if top := re.fullmatch("top([1-9][0-9]*)", text):
        return tuple(range(-int(top[1]), 0))
    if all(re.fullmatch("[0-9]+", i) for i in given):
        return tuple(int(i) for i in given)
    raise UserError(
        "--adapter_layers must be block numbers from 0, with commas between, or top3 "
        f"for the top three. Received: {text}"
    )


def load_data(flags: Any) -> TaskData:
    """Load the task and rows that the flags name."""
    if flags.task and flags.train_file:
        raise UserError(
            "Give one of --task and --train_file. Received: "
            f"--task={flags.task} --train_file={flags.train_file}"
        )
    source = TaskSource(
        name=flags.task,
        data_dir=flags.data_dir,
        tfds_data_dir=flags.tfds_data_dir,
        train_file=flags.train_file or None,
        dev_file=flags.dev_file or None,
        format=file_format(flags, flags.label_column),
        label_kind=flags.label_kind,
        dev_fraction=flags.dev_fraction,
        max_train_examples=flags.max_train_examples,
    )
    return source.load()


def main(flags: Any) -> None:
    """Train and print the result; without flags, also predict a few texts."""
    demo = not (flags.task or flags.train_file)
    if demo:
        if flags.epochs is None:
            flags.epochs = _DEMO_EPOCHS
        if not flags["max_train_examples"].present:
            flags.max_train_examples = _DEMO_TRAIN_ROWS
    job, cache = job_from_flags(flags), PrefixCache(cache_config(flags))
    # The output directory and speed settings do not identify a run.
    settings = {
        name: flags[name].value
        for name in sorted(flags)
        if name not in ("output_dir", "overwrite", *CACHE_FLAGS)
        and not name.startswith("_")
    }
    settings["learning_rate"] = job.config.learning_rate
    # Do this before using TensorFlow otherwise: workers connect at program start.
    strategy = get_strategy(flags.distribution_strategy, flags.tpu)
    chief = is_chief(strategy)
    if chief:
        check_run(flags.output_dir, settings, flags.overwrite)
    data = load_data(flags)
    if flags.epochs is None:
        epochs = default_epochs(len(data.train), job.config.batch_size)
        job = dataclasses.replace(
            job, config=dataclasses.replace(job.config, epochs=epochs)
        )
    metrics = run_job(
        job,
        data,
        flags.output_dir,
        settings,
        flags.overwrite,
        strategy,
        cache=cache,
    )
    if not chief:
        return
    print(summary(metrics, flags.output_dir))
    if demo:
        print("\nThe saved adapter, loaded again, on a few texts:")
        for text, record in zip(
            _DEMO_TEXTS,
            predict_texts(f"{flags.output_dir}/adapter", [_DEMO_TEXTS]),
            strict=True,
        ):
            print(f"  {record['label']:<9} {record['score']:.2f}  {text}")


def summary(metrics: dict[str, Any], output_dir: str) -> str:
    """Format the dev metrics next to those of the majority baseline."""
    width = max(12, *(len(name) + 2 for name in metrics["dev"]))
    lines = [f"\n{'':<{width}}{'dev':>8}{'majority':>10}"]
    for name, value in metrics["dev"].items():
        lines.append(
            f"{name:<{width}}{value:>8.4f}{metrics['majority_baseline'][name]:>10.4f}"
        )
    best, epochs = metrics["best"], metrics["epochs"]
    if best["epoch"] < epochs:
        name, value = next(iter(best["dev"].items()))
        lines.append(
            f"epoch {best['epoch']} was the best, {name} {value:.4f}: "
            f"{output_dir}/best_adapter"
        )
    lines.append(
        f"{metrics['steps']} steps, {metrics['examples_per_second']:.0f} examples/s; "
        f"adapter in {output_dir}/adapter"
    )
    return "\n".join(lines)


def cli() -> None:
    """Entry point of `adapters-tf-train`."""
    run(define(), main)


if __name__ == "__main__":
    cli()
