"""Tables of the methods beside one another."""

from collections.abc import Sequence

from adapters_tf.adapters import AdapterConfig
from adapters_tf.report.comparison import Column, Comparison
from adapters_tf.report.costs import Cost, Gap
from adapters_tf.report.metric_names import metric_label, rate_text, share_text
from adapters_tf.report.table import Cell, Number, Table
from adapters_tf.study.selection import Selected

SETTING_COLUMNS = ("size", "learning rate", "epochs", "batch size", "initial scale")


def score_table(comparison: Comparison, rows_of: str = "dev") -> Table:
    """Score of each method on each task, as in the paper's tables 1 and 2.

    Args:
        comparison: The scores.
        rows_of: What they were evaluated on: `"dev"` or `"test"` rows.
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
    """What the numbers of the score table are: means, of how many seeds."""
    counts = {len(s.results) for c in comparison.columns for s in c.selected.values()}
    least, most = min(counts), max(counts)
    if most == 1:
        return "one seed each"
    seeds = f"{most}" if least == most else f"{least} to {most}"
    return f"mean ± s.e.m. over {seeds} seeds"


def cost_table(costs: list[Cost]) -> Table:
    """Trained parameters a task and in total."""
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
                None if cost.share is None else _share(cost.share),
                None if cost.total is None else _times(cost.total),
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
    """The setting that was selected for each task and method."""
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
    """The hyperparameters of a setting; the initial scale if it is not the default."""
    setting = selected.setting
    rate, scale = setting.learning_rate, setting.initializer_stddev
    usual = AdapterConfig().initializer_stddev
    return (
        setting.bottleneck_dim or setting.top_n,
        None if rate is None else Number(rate, rate_text(rate)),
        setting.epochs,
        setting.batch_size,
        None if scale is None or scale == usual else Number(scale, rate_text(scale)),
    )


def search_table(comparison: Comparison) -> Table | None:
    """What the search of the no-BERT baseline found."""
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


def _share(share: float) -> Number:
    return Number(share, share_text(share))


def _times(total: float) -> Number:
    return Number(total, f"{total:.2f}×")
