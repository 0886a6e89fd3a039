"""Tables of one question each: learning rates, trade-off, classes, ablations."""

from collections.abc import Sequence

from adapters_tf.report.ablation import Ablation
from adapters_tf.report.estimate import Estimate
from adapters_tf.report.learning_rates import RateEffect
from adapters_tf.report.metric_names import METHODS, rate_text
from adapters_tf.report.per_class import ClassScore, Confusion
from adapters_tf.report.score_tables import SETTING_COLUMNS, setting_cells
from adapters_tf.report.table import Cell, Number, Table
from adapters_tf.report.tradeoff import TradeoffPoint, point_name
from adapters_tf.report.trials import main_trials
from adapters_tf.study.results import Result
from adapters_tf.study.selection import select

# More columns than this do not fit on a page; the CSV file has them.
_SHOWN_CLASSES = 12


def rate_table(effects: Sequence[RateEffect]) -> Table:
    """How each learning rate compares with the best of its method."""
    return Table(
        "learning_rates",
        "Each learning rate with the best of all other settings for it. Behind: how "
        "far it is behind the best rate of each task, in points, the mean over the "
        "tasks ± s.e.m. from their spread.",
        ("method", "learning rate", "tasks", "score", "behind", "best on"),
        tuple(
            (
                METHODS[effect.method],
                Number(effect.rate, rate_text(effect.rate)),
                len(effect.tasks),
                effect.score,
                effect.behind,
                effect.best_on,
            )
            for effect in effects
        ),
    )


def tradeoff_table(points: Sequence[TradeoffPoint]) -> Table:
    """The numbers of the trade-off figure."""
    several = any(point.tasks > 1 for point in points)
    caption = "The numbers of the figure: score minus full fine-tuning in points"
    if several:
        caption += ", by percentile over the tasks"
    return Table(
        "tradeoff",
        f"{caption}.",
        (
            *("method", "tasks", "trained parameters"),
            *(("20th", "median", "80th") if several else ("score minus full",)),
        ),
        tuple(
            (
                point_name(point),
                point.tasks,
                round(point.trained),
                *([Estimate(point.low)] if several else []),
                Estimate(point.median),
                *([Estimate(point.high)] if several else []),
            )
            for point in points
        ),
        digits=2,
    )


def variant_table(results: Sequence[Result]) -> Table:
    """Every method and size, also those that are no column of the score table."""
    chosen = select(main_trials(results))
    return Table(
        "all_sizes",
        "Every method and size with its selected setting:",
        ("task", "method", *SETTING_COLUMNS, "trained parameters", "seeds", "score"),
        tuple(
            (
                s.setting.task,
                s.setting.method,
                *setting_cells(s),
                s.results[0].trained_parameters,
                len(s.results),
                Estimate(s.mean, s.sem),
            )
            for s in chosen.values()
        ),
        shown=False,
    ).filled()


def class_table(confusion: Confusion, scores: Sequence[ClassScore], name: str) -> Table:
    """Precision, recall and F1 of each class, and their plain means."""
    rows: list[tuple[Cell, ...]] = [
        (s.label, Estimate(s.precision), Estimate(s.recall), Estimate(s.f1), s.rows)
        for s in scores
    ]
    means = [
        Estimate(sum(getattr(s, field) for s in scores) / len(scores))
        for field in ("precision", "recall", "f1")
    ]
    rows.append(("mean of the classes", *means, sum(s.rows for s in scores)))
    return Table(
        name,
        f"{confusion.task}: each class against all others, in percent.",
        ("class", "precision", "recall", "F1", "dev rows"),
        tuple(rows),
        last_row_apart=True,
    )


def confusion_table(confusion: Confusion, name: str) -> Table:
    """The counts, a row for each class."""
    shown = len(confusion.labels) <= _SHOWN_CLASSES
    return Table(
        name,
        f"{confusion.task}: dev rows by class (row) and predicted class (column)"
        + ("." if shown else ":"),
        ("class", *confusion.labels),
        tuple(
            (label, *map(int, row))
            for label, row in zip(confusion.labels, confusion.counts, strict=True)
        ),
        shown=shown,
    )


def ablation_table(ablation: Ablation, name: str) -> Table:
    """Every span of the ablation's figure."""
    change = "relative change" if ablation.relative else "change in points"
    return Table(
        name,
        f"{ablation.task}: the score without the adapters of each span of layers:",
        ("first layer", "last layer", "score", change),
        tuple(
            (first, last, Estimate(score), Estimate(ablation.change(score)))
            for (first, last), score in sorted(ablation.without.items())
        ),
        shown=False,
    )
