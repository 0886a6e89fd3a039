"""adapters-tf-benchmark page."""

from pathlib import Path
from typing import Any

from adapters_tf.bin.program import Groups, SubJob, require
from adapters_tf.errors import UserError


def define() -> Groups:
    """The flags of `page`."""
    g = Groups(
        "Fills the marked places of a page from the JSON files of the other jobs.\n"
        "  adapters-tf-benchmark page --results=docs/results/benchmarks \\\n"
        "      --output=docs/performance.md"
    )
    g.group("What is written")
    g.string("results", None, "folder of the JSON files")
    g.string("output", None, "Markdown page with places, rewritten; see the docs")
    return g


def run(flags: Any) -> None:
    """Read, fill and write."""
    from adapters_tf.benchmark.page import fill_page, read_results

    require(flags, "results", "output")
    page = Path(flags.output)
    if not page.is_file():
        raise UserError(f"--output must be a page that is there. Received: {str(page)}")
    results = read_results(Path(flags.results))
    text = fill_page(page.read_text(encoding="utf-8"), results)
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{page} could not be written: {error.strerror}") from error
    print(f"{page}: {len(results)} results")


JOB = SubJob("page", "a page of what the other jobs wrote", define, run)
