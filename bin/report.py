"""adapters-tf-report: what was found, in the form that others take."""

from adapters_tf.bin import report_glue, report_study
from adapters_tf.bin.program import SubJob, run_sub_jobs

_USAGE = (
    "Makes reports of results.\n"
    "  adapters-tf-report study --results=sweep --output_dir=report\n"
    "  adapters-tf-report glue --adapters=cola=out/adapter --data_dir=glue_data \\\n"
    "      --output_dir=submission"
)

JOBS = (
    SubJob(
        "study",
        "tables, figures and findings of a sweep",
        report_study.define,
        report_study.main,
    ),
    SubJob(
        "glue",
        "predictions of GLUE's test sets, as its server takes them",
        report_glue.define,
        report_glue.main,
    ),
)


def cli() -> None:
    """Entry point of `adapters-tf-report`."""
    # Directories and files get their names when they are whole.
    run_sub_jobs(_USAGE, JOBS, interrupted="start the same command again")


if __name__ == "__main__":
    cli()
