"""A study's grid, and the trials that it asks for."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from adapters_tf.errors import UserError
from adapters_tf.models.trainable_set import PAPER_METHODS
from adapters_tf.study.setting import NO_BERT, STUDY_METHODS, Setting
from adapters_tf.training.config import DEFAULT_LEARNING_RATES

# What a block of a grid may vary, in the order in which it is varied: trials that
# can share a model come one after another.
AXES = (
    "bottleneck_dim",
    "top_layers",
    "top_n",
    "initializer_stddev",
    "batch_size",
    "learning_rate",
    "epochs",
)
_ALL = ("batch_size", "epochs")
AXES_OF = {
    **{method: ("learning_rate", *_ALL) for method in PAPER_METHODS},
    "adapters": (
        "bottleneck_dim",
        "top_layers",
        "initializer_stddev",
        "learning_rate",
        *_ALL,
    ),
    "top_n": ("top_n", "learning_rate", *_ALL),
    NO_BERT: _ALL,
}
_WHOLE = ("bottleneck_dim", "top_layers", "top_n", "batch_size", "epochs")


@dataclasses.dataclass(frozen=True)
class Block:
    """A tuning method with the values to try, every one with every other.

    Attributes:
        method: See `Setting`.
        values: For each of `AXES` that is varied or set, its values. Not given, an
            adapter has 64 units, the learning rate is the method's default and the
            epochs are 3.
    """

    method: str
    values: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Block":
        """A block from `{"method": ..., "learning_rate": [...], ...}`.

        Raises:
            UserError: A name or a value is not valid.
        """
        values = dict(given)
        method = values.pop("method", "adapters")
        if method not in STUDY_METHODS:
            raise UserError(
                f"method must be one of {', '.join(STUDY_METHODS)}. Received: "
                f"method={method!r}"
            )
        unknown = sorted(set(values) - set(AXES))
        if unknown:
            raise UserError(
                f"A grid varies {', '.join(AXES)}. Received: {', '.join(unknown)}"
            )
        if method == "adapters":
            values.setdefault("bottleneck_dim", 64)
        if method in PAPER_METHODS:
            values.setdefault("learning_rate", DEFAULT_LEARNING_RATES[method])
        values.setdefault("epochs", 3)
        axes = [(n, _numbers(n, values[n])) for n in AXES if n in values]
        return cls(method, tuple(axes))

    def settings(self, task: str, seeds: Iterable[int]) -> list[Setting]:
        """Every combination for this task, with each of the seeds.

        Raises:
            UserError: The method does not take a value, or lacks one.
        """
        names = [name for name, _ in self.values]
        found = []
        for values in itertools.product(*(values for _, values in self.values)):
            for seed in seeds:
                fields = dict(zip(names, values, strict=True))
                try:
                    found.append(Setting(task, self.method, seed=seed, **fields))
                except ValueError as error:
                    raise UserError(str(error)) from None
        return found


def _numbers(name: str, given: Any) -> tuple[Any, ...]:
    values = given if isinstance(given, list | tuple) else [given]
    kind = int if name in _WHOLE else float
    numbers = []
    for value in values:
        try:
            # YAML reads 3e-5, without a point, as a text.
            number = kind(value)
            valid = number > 0 and float(value) == number
        except (TypeError, ValueError):
            valid = False
        if not valid or isinstance(value, bool):
            what = "whole numbers above 0" if kind is int else "numbers above 0"
            raise UserError(f"{name} must be {what}. Received: {name}={given}")
        numbers.append(number)
    if not numbers:
        raise UserError(f"{name} must have a value. Received: {name}={given}")
    return tuple(dict.fromkeys(numbers))


def expand(
    blocks: Iterable[Block], tasks: Iterable[str], seeds: Iterable[int]
) -> list[Setting]:
    """All trials of a grid, each once.

    Args:
        blocks: The methods and their values.
        tasks: Names of the tasks.
        seeds: Seeds of every trial.
    """
    tasks, seeds = list(tasks), list(seeds)
    found: list[Setting] = []
    for block in blocks:
        per_task = [block.settings(task, seeds) for task in tasks]
        found += itertools.chain.from_iterable(per_task)
    # Sizes one after another, over all tasks: those can share a model.
    order = {s.variant: i for i, s in reversed(list(enumerate(found)))}
    found.sort(key=lambda s: order[s.variant])
    return list(dict.fromkeys(found))
