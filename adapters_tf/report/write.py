"""A study's results as a report that one can send."""

import os
from collections.abc import Sequence
from pathlib import Path

from adapters_tf.errors import DataError
from adapters_tf.report.ablation import Ablation
from adapters_tf.report.checks import check_results
from adapters_tf.report.document import Document
from adapters_tf.report.figures.style import save
from adapters_tf.report.output import (
    FIGURES,
    PAGE,
    TABLES,
    TEXT,
    check_output,
    report_directory,
)
from adapters_tf.report.pages import build_document
from adapters_tf.study.results import Result

TITLE = "Adapters: results of a study"


def write_report(
    results: Sequence[Result],
    ablations: Sequence[Ablation] = (),
    output_dir: str | os.PathLike[str] = "report",
    *,
    sizes: Sequence[int] | None = None,
    title: str = TITLE,
    overwrite: bool = False,
) -> Document:
    """Write tables, figures and findings of a study.

    The directory gets `report.html`, one page that needs no other file; `report.md`
    with `figures/` (PNG and SVG); and `tables/` (CSV). What the results do not hold is
    left out. The same results give the same files.

    Args:
        results: Trials (`adapters_tf.study.results.read_results`), of one base.
        ablations: Layer ablations (`read_ablations`).
        output_dir: A new or empty directory.
        sizes: The adapter sizes to give a column each; by default the one with the
            best average score.
        title: The report's heading.
        overwrite: Replace an earlier report.

    Returns:
        What was written.

    Raises:
        UserError: The directory is in use, or no trial has one of the sizes.
        DataError: There is nothing to report, or the results do not compare.

    Example:

    ```python
    results = adapters_tf.study.results.read_results(["sweep"])
    adapters_tf.report.write_report(results, output_dir="report")
    ```
    """
    check_output(output_dir, overwrite)
    if not results and not ablations:
        raise DataError("A report needs at least one result. Received: none")
    check_results(results)
    document = build_document(results, ablations, title, sizes)
    with report_directory(output_dir, overwrite) as directory:
        _write(document, directory)
    return document


def _write(document: Document, directory: Path) -> None:
    (directory / TABLES).mkdir()
    for table in document.tables:
        path = directory / TABLES / f"{table.name}.csv"
        path.write_text(table.to_csv(), encoding="utf-8")
    images = {}
    if document.pictures:
        (directory / FIGURES).mkdir()
    for picture in document.pictures:
        images[picture.name] = save(picture.draw(), directory / FIGURES / picture.name)
    (directory / TEXT).write_text(document.to_markdown(), encoding="utf-8")
    (directory / PAGE).write_text(document.to_html(images), encoding="utf-8")
