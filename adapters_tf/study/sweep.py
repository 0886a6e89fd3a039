"""A sweep: its tasks, grid and seeds, and the trials it still needs."""

import dataclasses
import difflib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from adapters_tf.errors import UserError, check_types
from adapters_tf.io import parse_json
from adapters_tf.study.grid import GRIDS, Block, Setting, expand
from adapters_tf.study.results import Result, select
from adapters_tf.tasks.source import TaskSource
from adapters_tf.training.config import TrainConfig, TrainJob

# Fields of `Sweep` that are the same in all trials' models.
SHARED_FIELDS = ("preset", "seq_length", "precision")
# Keys of a sweep file that hold for every task.
_TASK_DEFAULTS = ("data_dir", "tfds_data_dir", "max_train_examples")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep, as its file or its flags describe it.

    Attributes:
        tasks: Where each task's rows come from.
        blocks: The grid.
        seeds: Seeds of every trial of the grid.
        final_seeds: Further seeds for the best setting of each task and variant, by
            the mean dev score over `seeds`.
        preset: The base; see `load_backbone`, or `"demo"`.
        seq_length: Longest input in tokens.
        precision: `"float32"` or `"mixed_bfloat16"`.
        baseline_trials: Number of models that a `"no_bert"` trial tries.
        embeddings_file: Word vectors for these models; see `BaselineSearch`.
    """

    tasks: tuple[TaskSource, ...]
    blocks: tuple[Block, ...]
    seeds: tuple[int, ...] = (0,)
    final_seeds: tuple[int, ...] = ()
    preset: str = "demo"
    seq_length: int = 128
    precision: str = "float32"
    baseline_trials: int = 20
    embeddings_file: str | None = None

    def __post_init__(self) -> None:
        if not self.tasks or not self.blocks or not self.seeds:
            raise UserError("A sweep needs tasks, a grid and seeds.")
        names = [task.task_name for task in self.tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(
                f"The tasks of a sweep need different names. Received: {twice[0]!r}, "
                "more than once"
            )
        bad = [n for n in names if n != os.path.basename(n) or n.startswith(".")]
        if bad:
            raise UserError(
                "A task's name must be fit for the name of a directory. Received: "
                f"{bad[0]!r}"
            )

    def settings(self) -> list[Setting]:
        """The trials of the grid, without those of `final_seeds`."""
        names = [task.task_name for task in self.tasks]
        return expand(self.blocks, names, self.seeds)

    def job(self, setting: Setting) -> TrainJob:
        """The training run of a trial."""
        job = TrainJob(
            preset=self.preset,
            tuning=setting.tuning,
            seq_length=self.seq_length,
            precision=self.precision,
            config=TrainConfig(
                epochs=setting.epochs,
                batch_size=setting.batch_size,
                # `Setting` requires one of every method that trains.
                learning_rate=cast(float, setting.learning_rate),
                seed=setting.seed,
            ),
        )
        if setting.method != "adapters":
            return job
        adapter = dataclasses.replace(
            job.adapter,
            bottleneck_dim=setting.bottleneck_dim,
            initializer_stddev=cast(float, setting.initializer_stddev),
            layers=tuple(range(-setting.top_layers, 0)) if setting.top_layers else None,
        )
        return dataclasses.replace(job, adapter=adapter)

    def shared(self) -> dict[str, Any]:
        """What all results of a directory must share, as JSON values.

        The grid, the seeds and the list of tasks may grow.
        """
        # Through JSON, as in the file that they are compared with.
        tasks = {
            t.task_name: json.loads(json.dumps(dataclasses.asdict(t)))
            for t in self.tasks
        }
        names = (*SHARED_FIELDS, "baseline_trials", "embeddings_file")
        return {"tasks": tasks, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Sweep":
        """The sweep that the keys of a sweep file describe; see docs/study.md.

        Raises:
            UserError: A key or value is not valid.
        """
        values = dict(given)
        known = {f.name for f in dataclasses.fields(cls)} - {"blocks"}
        known |= {"grid", *_TASK_DEFAULTS}
        unknown = sorted(set(values) - known)
        if unknown:
            near = difflib.get_close_matches(unknown[0], known, 1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"A sweep has the keys {', '.join(sorted(known))}. Received: "
                f"{unknown[0]!r}{hint}"
            )
        for_all = {
            name: values.pop(name)
            for name in _TASK_DEFAULTS
            if values.get(name) is not None
        }
        values["tasks"] = tuple(
            TaskSource.from_dict(
                {**for_all, **(t if isinstance(t, dict) else {"name": t})}
            )
            for t in _list("tasks", values.get("tasks") or ())
        )
        values["blocks"] = tuple(
            Block.from_dict(_object("grid", block))
            for block in _list("grid", values.pop("grid", ()))
        )
        for name in ("seeds", "final_seeds"):
            if name in values:
                values[name] = tuple(_list(name, values[name]))
                if not all(type(s) is int and s >= 0 for s in values[name]):
                    raise UserError(
                        f"{name} must be whole numbers from 0. Received: "
                        f"{name}={list(values[name])}"
                    )
        rest = {k: v for k, v in values.items() if k not in ("tasks", "blocks")}
        check_types(cls, rest)
        return cls(**values)


def read_sweep(name: str) -> dict[str, Any]:
    """Read the keys of one of `GRIDS`, or of a YAML or JSON file.

    Raises:
        UserError: There is no such grid or file, or the file cannot be read.
    """
    if name in GRIDS:
        return dict(GRIDS[name])
    path = Path(name)
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise UserError(
            f"A grid must be one of {', '.join(GRIDS)}, or a .yaml or .json file. "
            f"Received: {name!r}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"The grid's file could not be read. Received: {name!r}: {reason}"
        ) from error
    # Of the extra `study`, which --help must not need.
    import yaml

    try:
        values = parse_json(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(
            f"A grid's file must be YAML or JSON. Received: {name!r}: {error}"
        ) from error
    if not isinstance(values, dict):
        raise UserError(
            "A grid's file must hold keys and values, such as `tasks:` and `grid:`. "
            f"Received: {name!r}, which holds a {type(values).__name__}"
        )
    return values


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(
            f"{name} must hold keys and values, such as `method: adapters`. Received: "
            f"{value!r}"
        )
    return value


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{name} must be a list. Received: {name}={value!r}")
    return list(value)


class Plan:
    """The trials of a sweep: its grid, then more seeds of the selected settings.

    Args:
        sweep: The sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._grid = sweep.settings()
        self._final_seeds = sweep.final_seeds

    @property
    def num_trials(self) -> int:
        """The number of all trials, those of `final_seeds` included."""
        seeds = {s.seed for s in self._grid}
        groups = {(s.task, s.variant) for s in self._grid}
        return len(self._grid) + len(groups) * len(set(self._final_seeds) - seeds)

    def wanted(self, results: Mapping[str, Result]) -> list[Setting]:
        """The trials to run, in order, as far as they are known yet.

        The trials of `final_seeds` are known once the grid's trials of the same task
        and variant have finished.

        Args:
            results: The finished trials, by their setting's name.
        """
        open_groups = {(s.task, s.variant) for s in self._grid if s.name not in results}
        # In the grid's order: of equal settings the first wins, whoever ends first.
        done = [
            results[s.name]
            for s in self._grid
            if (s.task, s.variant) not in open_groups
        ]
        finals = [
            selected.setting.with_seed(seed)
            for selected in select(done).values()
            for seed in self._final_seeds
        ]
        return list(dict.fromkeys([*self._grid, *finals]))

    def next(
        self, results: Mapping[str, Result], running: Collection[str]
    ) -> Setting | None:
        """The first trial that is neither finished nor running.

        Args:
            results: The finished trials, by their setting's name.
            running: Names of the running trials.

        Returns:
            `None` if there is none now; a running trial may decide on further ones.
        """
        for setting in self.wanted(results):
            if setting.name not in results and setting.name not in running:
                return setting
        return None
