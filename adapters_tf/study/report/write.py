"""Writing a report as a directory, all of it or nothing."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters_tf.errors import DataError, UserError
from adapters_tf.export.saving import new_directory
from adapters_tf.study.ablation import Ablation
from adapters_tf.study.report.comparison import check_results
from adapters_tf.study.report.document import Document
from adapters_tf.study.report.figures import save
from adapters_tf.study.report.pages import build_document
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
    """Write the tables, figures and findings of a study.

    The directory gets `report.html`, a self-contained page; `report.md` with `figures/`
    (PNG and SVG); and `tables/` (CSV). The report covers what the results allow. Equal
    results make equal files.

    Args:
        results: Trials of one base, from `adapters_tf.study.results.read_results`.
        ablations: Layer ablations, from `adapters_tf.study.ablation.read_ablations`.
        output_dir: A new or empty directory.
        sizes: Adapter sizes that get a column each; by default the size with the best
            average score.
        title: The report's heading.
        overwrite: Replace an earlier report.

    Returns:
        The report.

    Raises:
        UserError: The directory is in use, or no trial has one of the sizes.
        DataError: There are no results, or they cannot be compared.

    Example:

    ```python
    results = adapters_tf.study.results.read_results(["sweep"])
    adapters_tf.study.report.write.write_report(results, output_dir="report")
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


PAGE = "report.html"
TEXT = "report.md"
TABLES = "tables"
FIGURES = "figures"
_OWN = {PAGE, TEXT, TABLES, FIGURES}


def check_output(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse a directory that cannot hold the report, before any work.

    Raises:
        UserError: The directory is not empty. An earlier report is accepted if it is
            all that the directory holds and `overwrite` is given.
    """
    path = Path(path)
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"output_dir must be a directory. Received: {str(path)!r}")
    held = sorted(entry.name for entry in path.iterdir())
    if not held:
        return
    others = [name for name in held if name not in _OWN]
    if others or PAGE not in held:
        raise UserError(
            "output_dir must be new, empty, or hold an earlier report. Received: "
            f"{str(path)!r}, which holds other files: {', '.join((others or held)[:5])}"
        )
    if not overwrite:
        raise UserError(
            f"output_dir {str(path)!r} holds a report. Choose another output_dir, or "
            "give --overwrite to replace it."
        )


@contextlib.contextmanager
def report_directory(path: str | os.PathLike[str], overwrite: bool) -> Iterator[Path]:
    """Yield a temporary directory that becomes `path` if the block succeeds.

    Raises:
        UserError: As `check_output`, or the files cannot be written.
    """
    check_output(path, overwrite)
    with new_directory(path, replace=overwrite) as temporary:
        yield temporary
