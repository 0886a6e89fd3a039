"""A study's grid: the settings to train, and the paper's grids by name."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from adapters_tf.adapters import AdapterConfig
from adapters_tf.data.glue import GLUE_LAYOUTS
from adapters_tf.errors import UserError
from adapters_tf.models.trainable_set import PAPER_METHODS, Tuning
from adapters_tf.training.config import DEFAULT_LEARNING_RATES

NO_BERT = "no_bert"
STUDY_METHODS = (*PAPER_METHODS, NO_BERT)
# What a grid varies, in this order: trials that can share a model follow one another.
AXES = (
    "bottleneck_dim",
    "top_layers",
    "top_n",
    "initializer_stddev",
    "batch_size",
    "learning_rate",
    "epochs",
)
_WHOLE_NUMBERS = ("bottleneck_dim", "top_layers", "top_n", "batch_size", "epochs")
_OF_ALL = ("batch_size", "epochs")
# Each method's own axes.
AXES_OF = {
    **{method: ("learning_rate", *_OF_ALL) for method in PAPER_METHODS},
    "adapters": tuple(axis for axis in AXES if axis != "top_n"),
    "top_n": ("top_n", "learning_rate", *_OF_ALL),
    NO_BERT: _OF_ALL,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One trial: a task, a tuning method and its hyperparameters.

    Attributes:
        task: Name of the task.
        method: A tuning method (`adapters_tf.models.trainable_set.PAPER_METHODS`), or
            `"no_bert"`: a search for a small text model without a pretrained encoder.
        epochs: Passes over the training rows.
        seed: Seed of the weights, the order of the rows and dropout.
        learning_rate: Peak rate; `None` for `"no_bert"`, which searches its own.
        bottleneck_dim: Units of the adapters, for `"adapters"` only.
        top_n: Number of trained blocks, for `"top_n"` only.
        initializer_stddev: Standard deviation of the adapters' initial kernels, for
            `"adapters"` only; the library's default if not given.
        batch_size: Rows of a batch.
        top_layers: Number of top blocks that have adapters, for `"adapters"` only;
            `None` for all blocks.

    Raises:
        ValueError: The method is unknown, lacks a field it needs or has one that it
            does not take.
    """

    task: str
    method: str
    epochs: int
    seed: int = 0
    learning_rate: float | None = None
    bottleneck_dim: int | None = None
    top_n: int | None = None
    initializer_stddev: float | None = None
    batch_size: int = 32
    top_layers: int | None = None

    def __post_init__(self) -> None:
        _check_method(self.method)
        if self.method == "adapters" and self.initializer_stddev is None:
            object.__setattr__(
                self, "initializer_stddev", AdapterConfig().initializer_stddev
            )
        for name in AXES:
            value, takes = getattr(self, name), name in AXES_OF[self.method]
            may_lack = not takes or name == "top_layers"
            if (value is None and not may_lack) or (value is not None and not takes):
                rule = "needs a" if takes else "takes no"
                raise ValueError(
                    f"method={self.method!r} {rule} {name}. Received: {name}={value}"
                )

    @property
    def variant(self) -> str:
        """The method with its size: `adapters-64`, `adapters-64-top3`, `full`."""
        size = self.bottleneck_dim or self.top_n
        where = f"-top{self.top_layers}" if self.top_layers else ""
        return f"{self.method}-{size}{where}" if size else self.method

    @property
    def name(self) -> str:
        """A name that no other setting has, fit for a directory."""
        parts = [self.task, self.variant]
        if self.learning_rate is not None:
            parts.append(f"lr{self.learning_rate:g}")
        parts.append(f"e{self.epochs}")
        if self.batch_size != 32:
            parts.append(f"b{self.batch_size}")
        if self.initializer_stddev not in (None, AdapterConfig().initializer_stddev):
            parts.append(f"sd{self.initializer_stddev:g}")
        return ".".join([*parts, f"s{self.seed}"])

    @property
    def tuning(self) -> Tuning:
        """The tuning method of the model; not for `"no_bert"`."""
        return Tuning(self.method, self.top_n)

    def with_seed(self, seed: int) -> "Setting":
        """The same setting with another seed."""
        return dataclasses.replace(self, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """The fields that have a value."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if value is not None}


def _check_method(method: str) -> None:
    if method not in STUDY_METHODS:
        raise UserError(
            f"method must be one of {', '.join(STUDY_METHODS)}. Received: "
            f"method={method!r}"
        )


@dataclasses.dataclass(frozen=True)
class Block:
    """A tuning method and the values to try, in all combinations.

    Attributes:
        method: See `Setting`.
        values: Pairs of an axis (see `AXES`) and its values. By default adapters have
            64 units, the learning rate is the method's own and there are 3 epochs.
    """

    method: str
    values: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Block":
        """The block of `{"method": ..., "learning_rate": [...], ...}`.

        Raises:
            UserError: A name or a value is not valid.
        """
        values = dict(given)
        method = values.pop("method", "adapters")
        _check_method(method)
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
            UserError: The method lacks a value or does not take one.
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
    kind = int if name in _WHOLE_NUMBERS else float
    numbers = []
    for value in values:
        try:
            # YAML reads 3e-5 as a text, because it has no decimal point.
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
    # All tasks of one size, then the next size: trials of one size share a model.
    order = {s.variant: i for i, s in reversed(list(enumerate(found)))}
    found.sort(key=lambda s: order[s.variant])
    return list(dict.fromkeys(found))


_GLUE = {"learning_rate": [3e-5, 3e-4, 3e-3], "epochs": [3, 20]}
_ADDITIONAL = {
    "learning_rate": [1e-5, 3e-5, 1e-4, 3e-3],
    "epochs": [20, 50, 100],
}
_TOP_N = [1, 2, 3, 5, 7, 9, 11, 12]
# All but WNLI, which the paper leaves out as Devlin et al. do.
_GLUE_TASKS = [name for name in GLUE_LAYOUTS if name != "wnli"]

# The grids of the paper, by name.
GRIDS: dict[str, dict[str, Any]] = {
    # Section 3.2: BERT-large; the best of five seeds.
    "glue": {
        "tasks": _GLUE_TASKS,
        "seeds": [0, 1, 2, 3, 4],
        "grid": [
            {"method": "adapters", "bottleneck_dim": [8, 64, 256], **_GLUE},
            {"method": "full", **_GLUE},
        ],
    },
    # Section 3.3: BERT-base; mean and s.e.m. over the seeds of the selected setting.
    "additional": {
        "seeds": [0],
        "final_seeds": [1, 2, 3, 4],
        "grid": [
            {
                "method": "adapters",
                "bottleneck_dim": [2, 4, 8, 16, 32, 64],
                **_ADDITIONAL,
            },
            {"method": "full", **_ADDITIONAL},
            {"method": "top_n", "top_n": _TOP_N, **_ADDITIONAL},
            {"method": "no_bert", "epochs": 20},
        ],
    },
    # Section 3.5: the sizes of figure 5; the rates and epochs of GLUE.
    "squad": {
        "tasks": ["squad"],
        "seeds": [0, 1, 2],
        "seq_length": 384,
        "grid": [
            {"method": "adapters", "bottleneck_dim": [2, 8, 64, 256], **_GLUE},
            {"method": "full", **_GLUE},
        ],
    },
    # Section 3.6: initial scales of the adapters' kernels.
    "init_scale": {
        "seeds": [0, 1, 2],
        "grid": [
            {
                "method": "adapters",
                "initializer_stddev": [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0],
            }
        ],
    },
}
