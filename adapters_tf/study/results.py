"""The results of a study: JSON lines, one for each finished trial."""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapters_tf.errors import DataError
from adapters_tf.study.setting import Setting

RESULTS_FILE = "results.jsonl"


@dataclasses.dataclass(frozen=True)
class Result:
    """One finished trial.

    Attributes:
        setting: What was trained.
        metric: Name of the task's first metric, which selects.
        score: Its value on the dev rows after the last epoch, a fraction.
        dev: All dev metrics after the last epoch.
        majority_baseline: The same metrics of a prediction that ignores the texts.
        trained_parameters: Trained for this task.
        base_parameters: Of the plain base; 0 for `"no_bert"`.
        train_rows: Number of training rows.
        dev_rows: Number of dev rows.
        seconds: Wall time of the trial.
        kind: The task's kind.
        best: `epoch`, `step` and `dev` of the epoch with the best first metric.
        confusion: For classification, `labels` and `counts`: `counts[i][j]` dev rows
            of class i that were predicted as class j.
        about: Whatever else is known: `preset`, `seq_length`, `examples_per_second`,
            for `"no_bert"` the `hyperparameters` found.
    """

    setting: Setting
    metric: str
    score: float
    dev: dict[str, float]
    majority_baseline: dict[str, float]
    trained_parameters: int
    base_parameters: int
    train_rows: int
    dev_rows: int
    seconds: float
    kind: str
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    confusion: dict[str, Any] | None = None
    about: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """One flat record of JSON values: the setting's fields among the others."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        setting = fields.pop("setting")
        return {"name": setting.name, **setting.to_dict(), **fields}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Result":
        """The result that `to_dict` wrote.

        Raises:
            ValueError: A field is missing or not valid.
        """
        if not isinstance(record, dict):
            raise ValueError(f"a {type(record).__name__} and no record")
        values = {k: v for k, v in record.items() if k != "name"}
        own = {f.name for f in dataclasses.fields(cls)}
        parts = {f.name for f in dataclasses.fields(Setting)}
        unknown = sorted(set(values) - own - parts)
        if unknown:
            raise ValueError(f"unknown fields {', '.join(unknown)}")
        try:
            setting = Setting(**{k: v for k, v in values.items() if k in parts})
            return cls(setting, **{k: v for k, v in values.items() if k in own})
        except TypeError as error:
            raise ValueError(str(error).partition("() ")[2]) from None


def read_results(paths: Iterable[str | os.PathLike[str]]) -> list[Result]:
    """The results in these files, or in `results.jsonl` of these directories.

    A trial that is in several files counts once, as the last of them has it.

    Raises:
        DataError: A file is missing, or a line is not a result.
    """
    found: dict[str, Result] = {}
    for given in paths:
        path = Path(given)
        path = path / RESULTS_FILE if path.is_dir() else path
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataError(
                "Results must be the JSON lines that adapters-tf-sweep writes, or the "
                f"directory they are in. Received: {str(given)!r}: {error.strerror}"
            ) from error
        for number, line in enumerate(lines, 1):
            try:
                result = Result.from_dict(json.loads(line))
            except ValueError as error:
                raise DataError(
                    "Each line of a results file must be a result of "
                    f"adapters-tf-sweep. Received: {path}, line {number}: {error}"
                ) from error
            found[result.setting.name] = result
    return list(found.values())
