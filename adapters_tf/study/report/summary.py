"""The findings of a study in sentences."""

from collections.abc import Sequence

from adapters_tf.study.ablation import Ablation
from adapters_tf.study.report.analysis import Cost, Gap, RateEffect, spread_of
from adapters_tf.study.report.comparison import Column, Comparison
from adapters_tf.study.report.labels import METHODS, share_text
from adapters_tf.study.results import Result


def about_the_study(results: Sequence[Result], comparison: Comparison) -> str:
    """How many trials of which tasks, on which base."""
    tasks = comparison.tasks
    text = f"{_count(len(results), 'trial')} of {_count(len(tasks), 'task')} "
    text += f"({', '.join(tasks)})"
    presets = {r.about["preset"]: None for r in results if r.about.get("preset")}
    if presets:
        text += f" on the base {', '.join(map(str, presets))}"
    if comparison.base_parameters is not None:
        text += f" with {comparison.base_parameters:,} parameters"
    return text + ". All scores are of the dev rows, which also selected the settings."


def scores(comparison: Comparison) -> str | None:
    """The averages, or the scores of a single task."""
    common = comparison.common
    if not common:
        return None
    parts = [
        f"{column.over(common).percent()} for {_name(column)}"
        for column in comparison.columns
    ]
    where = (
        f"On average over {len(common)} tasks" if len(common) > 1 else f"On {common[0]}"
    )
    return f"{where} the score is {_listed(parts)}."


def gap(found: Gap) -> str:
    """How far full fine-tuning is ahead or behind, with standard errors."""
    mean = found.over_tasks.mean
    tasks = len(found.by_task)
    points = f"{abs(round(100 * mean, 2)):.2f}"
    ahead, behind = METHODS["full"], _name(found.column)
    if mean < 0:
        ahead, behind = behind, ahead
    text = f"{ahead[0].upper()}{ahead[1:]} "
    text += "is" if mean >= 0 else "are"
    text += f" {points} points ahead of {behind}"
    errors = []
    if found.over_tasks.sem is not None:
        errors.append(f"{100 * found.over_tasks.sem:.2f} over the tasks")
    if found.over_seeds.sem is not None:
        errors.append(f"{100 * found.over_seeds.sem:.2f} over the seeds alone")
    where = (
        f"on average over {tasks} tasks" if tasks > 1 else f"on {[*found.by_task][0]}"
    )
    text += f" {where}"
    return text + (f" (s.e.m. {_listed(errors)})." if errors else ".")


def cost(adapters: Cost) -> str | None:
    """How many parameters adapters train and need in total."""
    if adapters.share is None:
        return None
    name = _name(adapters.column)
    return (
        f"{name[0].upper()}{name[1:]} train {share_text(adapters.share)} of the base's "
        f"parameters for a task. The total for {_count(adapters.num_tasks, 'task')} is "
        f"{adapters.total:.2f} times the parameters of one base; with full fine-tuning "
        f"it is {adapters.num_tasks} times."
    )


def learning_rates(effects: Sequence[RateEffect]) -> str | None:
    """How much each method depends on its learning rate."""
    parts = [
        f"{100 * spread:.1f} points for {METHODS[method]}"
        for method in METHODS
        if (spread := spread_of(effects, method)) is not None
    ]
    if not parts:
        return None
    return (
        "With the worst of its learning rates in place of the best one a method loses "
        f"on average {_listed(parts)}."
    )


def ablation(one: Ablation) -> str:
    """What it costs to remove the adapters of one layer, and of all."""
    unit = "%" if one.relative else " points"
    single = {first: s for (first, last), s in one.without.items() if first == last}
    text = f"On {one.task}, "
    parts = []
    if single:
        layer = min(single, key=lambda first: single[first])
        change = 100 * one.change(single[layer])
        parts.append(
            "removing the adapters of a single layer changes the score by "
            f"{change:+.1f}{unit} at worst (layer {layer})"
        )
    everything = one.without.get((0, one.num_layers - 1))
    if everything is not None:
        removed = (
            f"removing all of them takes it from {100 * one.full:.1f} to "
            f"{100 * everything:.1f}"
        )
        if one.majority is not None:
            removed += f" (majority: {100 * one.majority:.1f})"
        parts.append(removed)
    return text + ", and ".join(parts) + "." if parts else ""


def _name(column: Column) -> str:
    if column.key.startswith("adapters-"):
        return f"adapters of size {column.key.partition('-')[2]}"
    if column.key == "adapters":
        return "adapters of the best size for each task"
    if column.key == "majority":
        return "the majority baseline"
    return column.title


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
