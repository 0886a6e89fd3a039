"""All benchmarks, and the command line that runs them."""

import logging

from adapters_tf.bin.program import run_sub_jobs
from benchmarks import (
    data,
    faults,
    live,
    load,
    page,
    reuse,
    scaling,
    serving,
    steps,
    strategies,
    time_to_quality,
)

_USAGE = (
    "Measures adapters-tf and writes the numbers as JSON and Markdown.\n"
    "  python benchmarks/run.py serving --output=serving.json"
)
JOBS = (
    *steps.JOBS,
    data.JOB,
    time_to_quality.JOB,
    scaling.JOB,
    serving.JOB,
    live.JOB,
    load.JOB,
    strategies.JOB,
    faults.JOB,
    reuse.JOB,
    page.JOB,
)


def cli() -> None:
    """Run the job that the command line names."""
    # Where assets were written, and that a session's loader is deprecated.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    run_sub_jobs(_USAGE, JOBS, interrupted="its files were removed")
