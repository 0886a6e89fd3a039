"""The sections of the report, of what a study's results allow."""

from collections.abc import Sequence

from adapters_tf.report import summary
from adapters_tf.report.ablation import Ablation
from adapters_tf.report.comparison import Comparison, compare
from adapters_tf.report.costs import Gap, cost_of, gap_to_full
from adapters_tf.report.detail_sections import (
    class_blocks,
    layer_blocks,
    parameter_blocks,
    rate_blocks,
    scale_blocks,
)
from adapters_tf.report.detail_tables import variant_table
from adapters_tf.report.document import Block, Document, Section
from adapters_tf.report.file_names import FileNames
from adapters_tf.report.held_out import on_test_rows
from adapters_tf.report.learning_rates import rate_effects
from adapters_tf.report.published import SUMMARY, published_table
from adapters_tf.report.score_tables import (
    cost_table,
    gap_table,
    score_table,
    search_table,
    selection_table,
)
from adapters_tf.study.results import Result


def build_document(
    results: Sequence[Result],
    ablations: Sequence[Ablation],
    title: str,
    sizes: Sequence[int] | None = None,
) -> Document:
    """Everything there is to say of these results.

    Args:
        results: The trials, already checked.
        ablations: Layer ablations.
        title: The report's heading.
        sizes: As for `compare`.

    Raises:
        UserError: No trial has one of the sizes.
    """
    names = FileNames()
    layers = Section("Layers", tuple(layer_blocks(ablations, names)))
    if not results:
        sentences = [summary.ablation(ablation) for ablation in ablations]
        return Document(title, (Section("Summary", _kept(sentences)), layers))
    comparison = compare(results, sizes)
    gaps = [gap_to_full(comparison, column) for column in comparison.adapters]
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
    gaps: Sequence[Gap],
) -> tuple[str, ...]:
    adapters = comparison.adapters
    return _kept(
        [
            summary.about_the_study(results, comparison),
            summary.scores(comparison),
            *map(summary.gap, gaps),
            *(summary.cost(cost_of(comparison, column)) for column in adapters),
            summary.learning_rates(rate_effects(results)),
            *map(summary.ablation, ablations),
            SUMMARY if adapters else None,
        ]
    )


def _kept(sentences: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(sentence for sentence in sentences if sentence)


def _scores(
    results: Sequence[Result], comparison: Comparison, gaps: Sequence[Gap]
) -> tuple[Block, ...]:
    blocks: list[Block] = [score_table(comparison)]
    if gaps:
        blocks.append(gap_table(comparison, gaps))
    if tested := on_test_rows(comparison):
        blocks.append(score_table(tested, "test"))
    if comparison.adapters:
        with_questions = any(r.kind == "question_answering" for r in results)
        blocks.append(published_table(comparison.tasks, with_questions))
    return tuple(blocks)


def _parameters(results: Sequence[Result], comparison: Comparison) -> tuple[Block, ...]:
    columns = [column for column in comparison.columns if column.selected]
    costs = [cost_of(comparison, column) for column in columns]
    return (cost_table(costs), *parameter_blocks(results))


def _settings(results: Sequence[Result], comparison: Comparison) -> tuple[Block, ...]:
    search = search_table(comparison)
    return (
        selection_table(comparison),
        variant_table(results),
        *([search] if search else []),
        *rate_blocks(results),
    )
