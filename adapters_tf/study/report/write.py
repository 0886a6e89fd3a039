"""A report made of results, and written as a directory: all of it or nothing."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from adapters_tf.errors import DataError, UserError
from adapters_tf.export.saving import new_directory
from adapters_tf.study.ablation import Ablation
from adapters_tf.study.report import analysis, figures, panels, summary, tables
from adapters_tf.study.report.comparison import (
    Comparison,
    check_results,
    compare,
    on_test_rows,
)
from adapters_tf.study.report.document import (
    Block,
    Document,
    FileNames,
    Picture,
    Section,
)
from adapters_tf.study.report.figures import save
from adapters_tf.study.report.labels import metric_label
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


def build_document(
    results: Sequence[Result],
    ablations: Sequence[Ablation],
    title: str,
    sizes: Sequence[int] | None = None,
) -> Document:
    """Compose the report of these results, of all that they allow.

    Args:
        results: The trials; see `check_results`.
        ablations: Layer ablations.
        title: The report's heading.
        sizes: Adapter sizes; see `compare`.

    Raises:
        UserError: No trial has one of the sizes.
    """
    names = FileNames()
    layers = Section("Layers", tuple(layer_blocks(ablations, names)))
    if not results:
        sentences = [summary.ablation(ablation) for ablation in ablations]
        return Document(title, (Section("Summary", _kept(sentences)), layers))
    comparison = compare(results, sizes)
    gaps = [analysis.gap_to_full(comparison, column) for column in comparison.adapters]
    found = [gap for gap in gaps if gap is not None]
    return Document(
        title,
        (
            Section("Summary", _summary(results, ablations, comparison, found)),
            Section("Scores", _scores(results, comparison, found)),
            Section("Parameters", _parameters(results, comparison)),
            Section("Settings", _settings(results, comparison)),
            Section("Initial scale", tuple(scale_blocks(results))),
            layers,
            Section("Classes", tuple(class_blocks(comparison, names))),
        ),
    )


def _summary(
    results: Sequence[Result],
    ablations: Sequence[Ablation],
    comparison: Comparison,
    gaps: Sequence[analysis.Gap],
) -> tuple[str, ...]:
    adapters = comparison.adapters
    return _kept(
        [
            summary.about_the_study(results, comparison),
            summary.scores(comparison),
            *map(summary.gap, gaps),
            *(
                summary.cost(analysis.cost_of(comparison, column))
                for column in adapters
            ),
            summary.learning_rates(analysis.rate_effects(results)),
            *map(summary.ablation, ablations),
            tables.PUBLISHED_SUMMARY if adapters else None,
        ]
    )


def _kept(sentences: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(sentence for sentence in sentences if sentence)


def _scores(
    results: Sequence[Result], comparison: Comparison, gaps: Sequence[analysis.Gap]
) -> tuple[Block, ...]:
    blocks: list[Block] = [tables.score_table(comparison)]
    if gaps:
        blocks.append(tables.gap_table(comparison, gaps))
    if tested := on_test_rows(comparison):
        blocks.append(tables.score_table(tested, "test"))
    if comparison.adapters:
        with_questions = any(r.kind == "question_answering" for r in results)
        blocks.append(tables.published_table(comparison.tasks, with_questions))
    return tuple(blocks)


def _parameters(results: Sequence[Result], comparison: Comparison) -> tuple[Block, ...]:
    columns = [column for column in comparison.columns if column.selected]
    costs = [analysis.cost_of(comparison, column) for column in columns]
    return (tables.cost_table(costs), *parameter_blocks(results))


def _settings(results: Sequence[Result], comparison: Comparison) -> tuple[Block, ...]:
    search = tables.search_table(comparison)
    return (
        tables.selection_table(comparison),
        tables.variant_table(results),
        *([search] if search else []),
        *rate_blocks(results),
    )


# Number of tasks in the figure of trained parameters; the paper shows two.
_DETAILED_TASKS = 4


def parameter_blocks(results: Sequence[Result]) -> list[Block]:
    """Score against trained parameters: over all tasks, then for some of them."""
    blocks: list[Block] = []
    points = analysis.tradeoff(results)
    if points:
        blocks += [_tradeoff_picture(points), tables.tradeoff_table(points)]
    found = panels.parameter_panels(results)
    kinds = {r.setting.task: r.kind for r in results}
    rows = {r.setting.task: r.dev_rows for r in results}
    questions = [p for p in found if kinds[p.task] == "question_answering"]
    others = [p for p in found if kinds[p.task] != "question_answering"]
    # The tasks with the most dev rows have the least noise.
    others.sort(key=lambda panel: -rows[panel.task])
    note = " Compare figure 4 of the paper."
    if len(others) > _DETAILED_TASKS:
        note = f" These tasks have the most dev rows of {len(others)}.{note}"
    shown = (
        ("parameters", others[:_DETAILED_TASKS], note),
        ("question_answering", questions, " Compare figure 5 of the paper."),
    )
    what = "Score against trained parameters"
    for name, some, note in shown:
        blocks += _panels_picture(name, what, some, panels.draw_parameters, note)
    what = "Score against the adapters' size"
    sizes = panels.size_panels(results)
    return blocks + _panels_picture("adapter_size", what, sizes, panels.draw_sizes)


def _tradeoff_picture(points: Sequence[analysis.TradeoffPoint]) -> Picture:
    counts = sorted({point.tasks for point in points})
    caption = "Score against trained parameters, relative to full fine-tuning"
    if counts[-1] > 1:
        tasks = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
        caption += f": median over {tasks} tasks, and the 20th to 80th percentile"
    return Picture(
        "tradeoff",
        f"{caption}. For each size and task the learning rate and epochs with the best "
        "dev score. Compare figures 1 and 3 of the paper.",
        "Score relative to full fine-tuning against trained parameters",
        partial(figures.draw_tradeoff, points),
    )


def rate_blocks(results: Sequence[Result]) -> list[Block]:
    """Score against the learning rate."""
    effects = analysis.rate_effects(results)
    return [
        *([tables.rate_table(effects)] if effects else []),
        *_panels_picture(
            "learning_rate",
            "Score against the learning rate, with the best of all other settings for "
            "each rate",
            panels.rate_panels(results),
            panels.draw_rates,
        ),
    ]


def scale_blocks(results: Sequence[Result]) -> list[Block]:
    """Score against the initial scale of the adapters."""
    found = panels.scale_panels(results)
    if not found:
        return []
    return [
        "The tables and all other figures are of one initial scale for each task.",
        *_panels_picture(
            "initial_scale",
            "Score of adapters against the standard deviation of their initial weights",
            found,
            panels.draw_scales,
            " Compare figure 6 (right) of the paper.",
        ),
    ]


def _panels_picture(
    name: str,
    what: str,
    found: Sequence[panels.Panel],
    draw: Callable[[Sequence[panels.Panel]], Figure],
    note: str = "",
) -> list[Block]:
    if not found:
        return []
    tasks = f"on {found[0].task}" if len(found) == 1 else "a panel for each task"
    points = [s for panel in found for line in panel.series for _, s in line.points]
    bars = ""
    if any(score.sem is not None for score in points):
        bars = " Bars are the s.e.m. over the seeds."
    caption = f"{what}, {tasks}.{bars}{note}"
    return [Picture(name, caption, what, partial(draw, found))]


def layer_blocks(ablations: Sequence[Ablation], names: FileNames) -> list[Block]:
    """A heat map for each ablation."""
    blocks: list[Block] = []
    for ablation in ablations:
        name = names.new(f"ablation-{ablation.task}")
        majority = ""
        if ablation.majority is not None:
            value = 100 * ablation.change(ablation.majority)
            unit = "%" if ablation.relative else " points"
            majority = f" The majority baseline is at {value:+.1f}{unit}."
        change = "relative change" if ablation.relative else "change"
        blocks += [
            Picture(
                name,
                f"{ablation.task}: {change} of the score, "
                f"{metric_label(ablation.metric)}, on {ablation.dev_rows:,} rows when "
                "the trained adapters of a span of layers are removed, without "
                "training again. The diagonal is one layer, the upper right corner "
                f"all of them.{majority} Compare figure 6 of the paper.",
                f"Change of the score on {ablation.task} by removed layers",
                partial(figures.draw_ablation, ablation),
            ),
            tables.ablation_table(ablation, name),
        ]
    return blocks


def class_blocks(comparison: Comparison, names: FileNames) -> list[Block]:
    """The confusion matrix and the classes' scores of each classification task."""
    blocks: list[Block] = []
    for confusion in analysis.confusions(comparison):
        whose = f"adapters of size {confusion.size}, seed {confusion.seed}"
        if confusion.seeds > 1:
            whose += f", the best of {confusion.seeds} on these rows"
        name = names.new(f"confusion-{confusion.task}")
        blocks += [
            Picture(
                name,
                f"{confusion.task}: dev rows by class and predicted class; {whose}. "
                f"{100 * confusion.accuracy:.1f}% are on the diagonal.",
                f"Confusion matrix of {confusion.task}",
                partial(figures.draw_confusion, confusion),
            ),
            tables.confusion_table(confusion, name),
            tables.class_table(
                confusion,
                analysis.class_scores(confusion.labels, confusion.counts),
                names.new(f"classes-{confusion.task}"),
            ),
        ]
    return blocks
