"""adapters-tf-report: reports of a study, and predictions for GLUE's server."""

from pathlib import Path
from typing import Any

from adapters_tf.bin.export_new import parse_adapters
from adapters_tf.bin.program import Groups, SubJob, require, run_sub_jobs
from adapters_tf.errors import UserError
from adapters_tf.study import require_extra

_USAGE = (
    "Makes reports of results.\n"
    "  adapters-tf-report study --results=sweep --output_dir=report\n"
    "  adapters-tf-report glue --adapters=cola=out/adapter --data_dir=glue_data \\\n"
    "      --output_dir=submission"
)

# === study ===


def define_study() -> Groups:
    """The flags of `study`."""
    g = Groups(
        "Makes tables, figures and findings of a study's results.\n"
        "  adapters-tf-report study --results=sweep --output_dir=report"
    )
    g.group("Input")
    g.strings(
        "results",
        None,
        "directories of adapters-tf-sweep, or results.jsonl files; if a trial is in "
        "several, the last counts",
    )
    g.strings("ablations", [], "JSON files of adapters-tf-ablate")
    g.group("Content")
    g.strings("sizes", [], "adapter sizes that get a column each [the best on average]")
    g.string("title", None, "the report's heading")
    g.group("Output")
    g.string("output_dir", None, "new or empty directory for the report")
    g.boolean("overwrite", False, "replace an earlier report")
    return g


def study(flags: Any) -> None:
    """Read, write and print the summary."""
    require(flags, "results", "output_dir")
    sizes = _sizes(flags.sizes)
    require_extra()
    from adapters_tf.study.ablation import read_ablations
    from adapters_tf.study.report.write import PAGE, TITLE, check_output, write_report
    from adapters_tf.study.results import read_results

    check_output(flags.output_dir, flags.overwrite)
    document = write_report(
        read_results(flags.results),
        read_ablations(flags.ablations),
        flags.output_dir,
        sizes=sizes or None,
        title=flags.title or TITLE,
        overwrite=flags.overwrite,
    )
    print("\n".join(b for b in document.sections[0].blocks if isinstance(b, str)))
    print(f"\nThe report: {Path(flags.output_dir) / PAGE}")


def _sizes(values: list[str]) -> list[int]:
    try:
        return [int(value) for value in values]
    except ValueError:
        raise UserError(
            "--sizes takes whole numbers with commas between them. Received: "
            f"{','.join(values)}"
        ) from None


# === glue ===


def define_glue() -> Groups:
    """The flags of `glue`."""
    g = Groups(
        "Predicts GLUE's test sets with saved adapters and writes the files for its "
        "server.\n"
        "  adapters-tf-report glue --adapters=cola=out/cola/adapter,sst2=out/sst2/"
        "adapter \\\n      --data_dir=glue_data --output_dir=submission"
    )
    g.group("Adapters")
    g.strings("adapters", None, "task=adapter directory, comma-separated")
    g.string("preset", None, "the base [the one that each adapter names]")
    g.integer("batch_size", 64, "rows of a batch")
    g.group("Test sets")
    g.string("data_dir", None, "folder with the public files of GLUE")
    g.boolean("fill_missing", False, "predict a constant for tasks without an adapter")
    g.group("Output")
    g.string("output_dir", None, "directory of the files")
    g.boolean("zip", False, "also submission.zip, which needs all tasks")
    g.boolean("overwrite", False, "replace the files of an earlier submission")
    return g


def glue(flags: Any) -> None:
    """Predict and write the files; a warning lists missing ones."""
    require(flags, "adapters", "data_dir", "output_dir")
    adapters = parse_adapters(flags.adapters)
    from adapters_tf.study.glue_submission import write_glue_submission

    files = write_glue_submission(
        adapters,
        flags.data_dir,
        flags.output_dir,
        flags.preset,
        flags.batch_size,
        fill_missing=flags.fill_missing,
        archive=flags.zip,
        overwrite=flags.overwrite,
    )
    print(f"{len(files)} files in {flags.output_dir}:")
    for file in files:
        print(f"  {file.name}")


JOBS = (
    SubJob(
        "study",
        "tables, figures and findings of a sweep",
        define_study,
        study,
    ),
    SubJob(
        "glue",
        "predictions of GLUE's test sets, for its server",
        define_glue,
        glue,
    ),
)


def cli() -> None:
    """Entry point of `adapters-tf-report`."""
    # Outputs are written atomically.
    run_sub_jobs(_USAGE, JOBS, interrupted="start the same command again")


if __name__ == "__main__":
    cli()
