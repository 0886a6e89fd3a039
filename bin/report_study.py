"""The job `study` of adapters-tf-report: its flags, and what it prints."""

from pathlib import Path
from typing import Any

from adapters_tf.bin.program import Groups, require
from adapters_tf.errors import UserError


def define() -> Groups:
    """The flags of `study`."""
    g = Groups(
        "Makes tables, figures and findings of a study's results.\n"
        "  adapters-tf-report study --results=sweep --output_dir=report"
    )
    g.group("Input")
    g.strings(
        "results",
        None,
        "directories of adapters-tf-sweep, or results.jsonl files; of a trial that is "
        "in several the last counts",
    )
    g.strings("ablations", [], "JSON files of adapters-tf-ablate")
    g.group("Content")
    g.strings("sizes", [], "adapter sizes to give a column each [the best on average]")
    g.string("title", None, "the report's heading")
    g.group("Output")
    g.string("output_dir", None, "new or empty directory for the report")
    g.boolean("overwrite", False, "replace an earlier report")
    return g


def main(flags: Any) -> None:
    """Read, write and print the summary."""
    require(flags, "results", "output_dir")
    sizes = _sizes(flags.sizes)
    from adapters_tf.report.ablation import read_ablations
    from adapters_tf.report.output import PAGE, check_output
    from adapters_tf.report.write import TITLE, write_report
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
