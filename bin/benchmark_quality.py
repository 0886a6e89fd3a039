"""adapters-tf-benchmark time_to_quality."""

from typing import Any

from adapters_tf.benchmark.report import check_output
from adapters_tf.bin.benchmark_flags import output_flag, report
from adapters_tf.bin.program import Groups, SubJob, require


def define() -> Groups:
    """The flags of `time_to_quality`."""
    g = Groups(
        "Times AdapterHub's example from files to its dev metric, and ours to the same."
        "\n  adapters-tf-benchmark time_to_quality --peer_python=peer/bin/python \\\n"
        "      --data_dir=data --output=time_to_quality.json"
    )
    g.group("What is run")
    g.string("peer_python", None, "a Python with torch and adapters, see the docs")
    g.string("data_dir", None, "folder with the tasks' public files [TFDS]")
    g.strings("tasks", ["sst2", "mrpc", "sms_spam"], "tasks of classification")
    g.string("preset", "demo", "the base: demo, or a Hugging Face directory")
    g.integer("max_train_examples", 10000, "rows of each task, drawn at random")
    g.integer("epochs", 3, "ours")
    g.integer("peer_epochs", 3, "the peer's")
    output_flag(g)
    return g


def run(flags: Any) -> None:
    """Measure, print and write."""
    from adapters_tf.benchmark.time_to_quality import job
    from adapters_tf.benchmark.time_to_quality.tables import as_markdown, find_bars

    require(flags, "peer_python", "tasks")
    check_output(flags.output)
    options = job.QualityOptions(
        peer_python=flags.peer_python,
        data_dir=flags.data_dir,
        tasks=tuple(flags.tasks),
        preset=flags.preset,
        max_train_examples=flags.max_train_examples,
        epochs=flags.epochs,
        peer_epochs=flags.peer_epochs,
    )
    result = job.measure_time_to_quality(options)
    result["goals"] = find_bars(result)
    report(flags.output, result, as_markdown(result))


JOB = SubJob(
    "time_to_quality", "from files to a dev metric, beside the peer", define, run
)
