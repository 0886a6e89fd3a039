"""adapters-tf-predict-beam: a servable's predictions for files, with Apache Beam."""

import glob
import shlex
from typing import Any

from adapters_tf.bin.flags import define_format_flags, file_format
from adapters_tf.bin.program import Groups, require, run
from adapters_tf.export.bulk_job import BulkJob, ServedTask, check_installed


def define() -> Groups:
    """The program's flags."""
    g = Groups(
        "Writes a served task's prediction for each row of many files, as an Apache "
        "Beam\npipeline: on this machine, or on a cluster's runner.\n"
        "  adapters-tf-predict-beam --servable=S --name=tweets --files='new/*.csv' \\\n"
        "      --output_dir=predictions"
    )
    g.group("Servable (adapters-tf-export servable)")
    g.string("servable", None, "directory of the servable; its newest version is used")
    g.string("name", None, "name of the task in it")
    g.integer("batch_size", 64, "most rows that the model takes at a time")
    g.group("Files (.csv, .tsv, .jsonl; SQuAD .json for questions; .conll for tags)")
    g.strings(
        "files", None, "of rows, or patterns such as 'new/*.csv'; texts may be empty"
    )
    define_format_flags(g, None)
    g.group("Output")
    g.string("output_dir", None, "new directory for the predictions, JSON lines")
    g.integer("rows_per_file", 16384, "rows of a file of predictions")
    g.group("Apache Beam")
    g.string(
        "beam_options",
        "",
        "Beam's own options, such as '--runner=FlinkRunner --flink_master=H:8081'",
    )
    return g


def main(flags: Any) -> None:
    """Predict and write."""
    require(flags, "servable", "name", "files", "output_dir")
    check_installed()
    if not flags.text_columns:
        task = ServedTask.of(flags.servable, flags.name).task
        flags.text_columns = list(task.text_columns)
    job = BulkJob(
        servable=flags.servable,
        name=flags.name,
        files=tuple(
            path
            for pattern in flags.files
            for path in sorted(glob.glob(pattern)) or [pattern]
        ),
        output_dir=flags.output_dir,
        format=file_format(flags, None),
        batch_size=flags.batch_size,
        rows_per_file=flags.rows_per_file,
        beam_options=tuple(shlex.split(flags.beam_options)),
    )
    from adapters_tf.export.bulk_pipeline import predict_in_bulk

    rows = predict_in_bulk(job)
    print(f"{rows} predictions in {flags.output_dir}")


def cli() -> None:
    """Entry point of `adapters-tf-predict-beam`."""
    run(define(), main, interrupted="nothing was written")


if __name__ == "__main__":
    cli()
