"""Files of `adapters-tf-ablate`: trained adapters removed from spans of layers."""

import dataclasses
import json
import math
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from adapters_tf.errors import DataError

_KIND = "layer_ablation"


@dataclasses.dataclass(frozen=True)
class Ablation:
    """A trained adapter without its adapters in every span of layers.

    Attributes:
        task: Name of the task.
        metric: Its first metric.
        num_layers: Number of encoder blocks.
        full: The metric with all adapters, a fraction.
        without: The metric without the adapters of the layers `(first, last)`, both
            included and counted from 0.
        majority: The metric of a prediction that ignores the texts, if it is known.
        dev_rows: Number of rows it was measured on.
        adapter: Directory of the adapter.
        base_fingerprint: Its base; `None` in files that do not say it.
    """

    task: str
    metric: str
    num_layers: int
    full: float
    without: dict[tuple[int, int], float]
    majority: float | None
    dev_rows: int
    adapter: str
    base_fingerprint: str | None = None

    @property
    def relative(self) -> bool:
        """Whether changes are given relative to the full score.

        Of a score that is not above 0, which correlations may be, only differences
        make sense.
        """
        return self.full > 0

    def change(self, score: float) -> float:
        """From the full score to `score`: a fraction of it, or a difference."""
        difference = score - self.full
        return difference / self.full if self.relative else difference

    def changes(self) -> np.ndarray:
        """`[L, L]` changes by first and last removed layer; NaN where not measured."""
        values = np.full((self.num_layers, self.num_layers), np.nan)
        for span, score in self.without.items():
            values[span] = self.change(score)
        return values

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Ablation":
        """The ablation of a file's JSON value.

        Raises:
            ValueError: Something is missing or not valid.
        """
        if not isinstance(record, dict) or record.get("kind") != _KIND:
            raise ValueError(f'it has no "kind": "{_KIND}"')
        try:
            metric, layers = record["metric"], record["num_layers"]
            without: dict[tuple[int, int], float] = {}
            for entry in record["spans"]:
                span = (entry["first"], entry["last"])
                _check_span(span, layers)
                if span in without:
                    raise ValueError(f"the span {span} is in it twice")
                without[span] = _number(entry["dev"], metric)
            if not without:
                raise ValueError("it has no spans")
            baseline = record.get("majority_baseline", {})
            return cls(
                task=str(record["task"]),
                metric=metric,
                num_layers=layers,
                full=_number(record["full"], metric),
                without=without,
                majority=_number(baseline, metric) if metric in baseline else None,
                dev_rows=int(record["dev_rows"]),
                adapter=str(record["adapter"]),
                base_fingerprint=record.get("base_fingerprint"),
            )
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} is missing") from None
        except TypeError as error:
            raise ValueError(str(error)) from None


def read_ablations(paths: Iterable[str | os.PathLike[str]]) -> list[Ablation]:
    """The ablations in these files, one a file.

    Raises:
        DataError: A file is missing or not one of `adapters-tf-ablate`.
    """
    found = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as f:
                found.append(Ablation.from_dict(json.load(f)))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                "An ablation must be a JSON file that adapters-tf-ablate writes. "
                f"Received: {str(path)!r}: {reason}"
            ) from error
    return found


def _check_span(span: tuple[Any, Any], layers: Any) -> None:
    numbers = (*span, layers)
    if not all(isinstance(n, int) for n in numbers) or not (
        0 <= span[0] <= span[1] < layers
    ):
        raise ValueError(
            f"a span must have 0 <= first <= last < num_layers, not first={span[0]}, "
            f"last={span[1]}, num_layers={layers}"
        )


def _number(metrics: dict[str, Any], metric: str) -> float:
    value = metrics[metric]
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{metric} must be a finite number, not {value!r}")
    return float(value)
