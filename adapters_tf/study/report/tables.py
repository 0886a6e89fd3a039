"""The tables of a report."""

from collections.abc import Callable, Collection, Sequence

from adapters_tf.adapters import AdapterConfig
from adapters_tf.study.ablation import Ablation
from adapters_tf.study.report.analysis import (
    ClassScore,
    Confusion,
    Cost,
    Gap,
    RateEffect,
    TradeoffPoint,
    point_name,
)
from adapters_tf.study.report.comparison import Column, Comparison, main_trials
from adapters_tf.study.report.document import Cell, Number, Table
from adapters_tf.study.report.labels import METHODS, metric_label, rate_text, share_text
from adapters_tf.study.results import Estimate, Result, Selected, select

SETTING_COLUMNS = ("size", "learning rate", "epochs", "batch size", "initial scale")


def score_table(comparison: Comparison, rows_of: str = "dev") -> Table:
    """Score of each method on each task, as in the paper's tables 1 and 2.

    Args:
        comparison: The scores.
        rows_of: The rows that were evaluated: `"dev"` or `"test"`.
    """
    columns = comparison.columns
    rows: list[tuple[Cell, ...]] = [
        (
            task,
            metric_label(comparison.metrics[task]),
            *(column.estimates.get(task) for column in columns),
        )
        for task in comparison.tasks
    ]
    common = comparison.common
    caption = f"Scores on the {rows_of} rows, {seeds_text(comparison)}."
    if rows_of != "dev":
        caption += " The settings were selected on the dev rows."
    if len(common) > 1:
        name = f"average of {len(common)} tasks"
        rows.append((name, "", *(column.over(common) for column in columns)))
        if len(common) < len(comparison.tasks):
            caption += (
                f" The average is over the {len(common)} tasks that have every column: "
                f"{', '.join(common)}."
            )
    elif len(comparison.tasks) > 1:
        caption += " No average: fewer than two tasks have every column."
    return Table(
        "scores" if rows_of == "dev" else f"{rows_of}_scores",
        caption,
        ("task", "metric", *(column.title for column in columns)),
        tuple(rows),
        last_row_apart=len(common) > 1,
    )


def seeds_text(comparison: Comparison) -> str:
    """How the numbers of the score table come about: from how many seeds."""
    counts = {len(s.results) for c in comparison.columns for s in c.selected.values()}
    least, most = min(counts), max(counts)
    if most == 1:
        return "one seed each"
    seeds = f"{most}" if least == most else f"{least} to {most}"
    return f"mean ± s.e.m. over {seeds} seeds"


def cost_table(costs: list[Cost]) -> Table:
    """Parameters that a task trains, and the total for all tasks."""
    tasks = costs[0].num_tasks
    plural = "s" if tasks > 1 else ""
    return Table(
        "parameters",
        "Parameters that a task trains, the mean over the tasks, and the total for "
        f"{tasks} task{plural} relative to one base: a copy for each task with full "
        "fine-tuning, else one base and what each task trains.",
        (
            "method",
            "trained parameters a task",
            "share of the base",
            f"total for {tasks} task{plural}",
        ),
        tuple(
            (
                cost.column.title,
                round(cost.trained),
                _number(cost.share, share_text),
                _number(cost.total, lambda total: f"{total:.2f}×"),
            )
            for cost in costs
        ),
    ).filled()


def gap_table(comparison: Comparison, gaps: Sequence[Gap]) -> Table:
    """Full fine-tuning minus adapters, by task and on average."""
    tasks = [t for t in comparison.tasks if any(t in g.by_task for g in gaps)]
    rows: list[tuple[Cell, ...]] = [
        (task, *(gap.by_task.get(task) for gap in gaps)) for task in tasks
    ]
    caption = "Full fine-tuning minus adapters, in points; below 0 adapters are ahead."
    if any(d.sem is not None for gap in gaps for d in gap.by_task.values()):
        caption += " The errors of the tasks are from the seeds."
    if len(tasks) > 1:
        rows.append(("mean", *(gap.over_tasks for gap in gaps)))
        caption += (
            " The error of the mean is from the spread between the tasks, which "
            "contains the seeds' noise"
        )
        known = [
            f"{100 * gap.over_seeds.sem:.2f} ({gap.column.title})"
            for gap in gaps
            if gap.over_seeds.sem is not None
        ]
        if len(known) == len(gaps):
            caption += f"; from the seeds alone it is {' and '.join(known)}"
        caption += "."
    return Table(
        "gaps",
        caption,
        ("task", *(f"full − {gap.column.title}" for gap in gaps)),
        tuple(rows),
        digits=2,
        last_row_apart=len(tasks) > 1,
    )


def selection_table(comparison: Comparison) -> Table:
    """The selected setting of each task and method."""
    columns = [column for column in comparison.columns if column.selected]
    chosen = [
        (task, column)
        for task in comparison.tasks
        for column in columns
        if task in column.selected
    ]
    return Table(
        "selection",
        "The setting of each method with the best mean dev score, and the number of "
        "settings it was selected from. The same dev rows select and score, so that "
        "methods with more settings have a small advantage.",
        ("task", "method", *SETTING_COLUMNS, "settings tried", "seeds", "score"),
        tuple(
            (
                task,
                column.title,
                *setting_cells(column.selected[task]),
                column.compared[task],
                len(column.selected[task].results),
                column.estimates[task],
            )
            for task, column in chosen
        ),
    ).filled()


def setting_cells(selected: Selected) -> tuple[Cell, ...]:
    """A setting's hyperparameters; the initial scale only if it is not the default."""
    setting = selected.setting
    rate, scale = setting.learning_rate, setting.initializer_stddev
    usual = AdapterConfig().initializer_stddev
    return (
        setting.bottleneck_dim or setting.top_n,
        _number(rate, rate_text),
        setting.epochs,
        setting.batch_size,
        None if scale == usual else _number(scale, rate_text),
    )


def _number(value: float | None, text: Callable[[float], str]) -> Number | None:
    return None if value is None else Number(value, text(value))


def search_table(comparison: Comparison) -> Table | None:
    """The hyperparameters that the search for the no-BERT baseline selected."""
    column: Column | None = comparison.column("no_bert")
    if column is None:
        return None
    rows = [
        (task, ", ".join(f"{name}={value}" for name, value in found.items()))
        for task, found in (
            (task, s.best.about.get("hyperparameters"))
            for task, s in column.selected.items()
        )
        if isinstance(found, dict)
    ]
    caption = "What the search of the baseline without BERT found, its best seed."
    columns = ("task", "hyperparameters")
    return Table("no_bert", caption, columns, tuple(rows)) if rows else None


# More columns do not fit on a page; the CSV file has them all.
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
    """The numbers behind the trade-off figure."""
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
    """Every method and size, including those without a column in the score table."""
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
                s.estimate,
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
    """The score without each span of layers."""
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


# Houlsby et al. (2019): tables 1 and 2, sections 3.2 to 3.5. Test scores for GLUE and
# the 17 tasks, validation scores for SQuAD and MNLI.
_GLUE = "GLUE, 9 tasks, BERT-large"
_OTHERS = "17 further tasks, BERT-base"
_Row = tuple[str | None, ...]
_ALWAYS: tuple[_Row, ...] = (
    (_GLUE, "full fine-tuning", "80.4", "100%", "9×"),
    (_GLUE, "adapters, best of sizes 8 to 256", "80.0", "3.6%", "1.3×"),
    (_GLUE, "adapters 64", "79.6", "2.1%", None),
    (_OTHERS, "full fine-tuning", "73.7", "100%", "17×"),
    (_OTHERS, "variable fine-tuning", "74.0", None, None),
    (_OTHERS, "adapters, best of sizes 2 to 64", "73.3", "1.14%", "1.19×"),
)
_MNLI: tuple[_Row, ...] = (
    ("MNLI-m, BERT-base", "full fine-tuning", "84.4", "100%", None),
    ("MNLI-m, BERT-base", "adapters 64", "83.7", None, None),
    ("MNLI-m, BERT-base", "top block fine-tuned", "77.8", None, None),
)
_SQUAD: tuple[_Row, ...] = (
    ("SQuAD v1.1 F1, BERT-base", "full fine-tuning", "90.7", "100%", None),
    ("SQuAD v1.1 F1, BERT-base", "adapters 64", "90.4", None, None),
    ("SQuAD v1.1 F1, BERT-base", "adapters 2", "89.9", None, None),
)

PUBLISHED_SUMMARY = (
    "For comparison, Houlsby et al. (2019) published for GLUE with BERT-large 80.4 for "
    "full fine-tuning and 80.0 for adapters with 3.6% of the parameters a task and 1.3 "
    "times those of the base for 9 tasks, and for 17 further tasks with BERT-base 73.7 "
    "and 73.3 with 1.14% and 1.19 times. These are other bases, tasks and rows."
)


def published_table(tasks: Collection[str], with_questions: bool) -> Table:
    """The numbers that the paper published.

    Args:
        tasks: The study's tasks; MNLI's numbers appear if MNLI is among them.
        with_questions: Whether SQuAD's numbers appear.
    """
    rows = _ALWAYS
    if "mnli" in tasks:
        rows += _MNLI
    if with_questions:
        rows += _SQUAD
    return Table(
        "published",
        "Published by Houlsby et al. (2019), arXiv:1902.00751, not measured here: "
        "average scores, parameters trained for a task, and parameters in total "
        "relative to one base.",
        ("tasks and base", "method", "score", "trained a task", "total"),
        rows,
    )
