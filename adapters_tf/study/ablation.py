"""Layer ablation: scores without the adapters of each span of blocks (figure 6)."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from adapters_tf.adapters import AdapterMethod
from adapters_tf.data.examples import Rows
from adapters_tf.errors import DataError, UserError
from adapters_tf.io import read_json
from adapters_tf.models.adapter_model import AdapterModel
from adapters_tf.tasks.kinds import majority_baseline
from adapters_tf.training.predict_texts import LoadedAdapter

_KIND = "layer_ablation"


@dataclasses.dataclass(frozen=True)
class Ablation:
    """The scores of an adapter directory without the adapters of each span of blocks.

    Attributes:
        task: Name of the task.
        metric: Its first metric.
        num_layers: Number of encoder blocks.
        full: The metric with all adapters, a fraction.
        without: The metric without the adapters of the blocks `(first, last)`, both
            included and counted from 0.
        majority: The metric of a prediction that ignores the texts, if known.
        dev_rows: Number of rows evaluated.
        adapter: The adapter directory.
        base_fingerprint: Fingerprint of its base; `None` if the file has none.
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
        """Whether changes are relative to the full score.

        A score may be 0 or less, as correlations can; then changes are differences.
        """
        return self.full > 0

    def change(self, score: float) -> float:
        """The change from the full score: a fraction of it, or a difference."""
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
    """Read files of `adapters-tf-ablate layers`, one ablation each.

    Raises:
        DataError: A file is missing or not one of `adapters-tf-ablate`.
    """
    found = []
    for path in paths:
        try:
            found.append(Ablation.from_dict(read_json(path)))
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


@contextlib.contextmanager
def removed_adapters(model: AdapterModel, first: int, last: int) -> Iterator[None]:
    """Make the adapters of these encoder blocks pass their input on unchanged.

    LayerNorms and the head stay as trained. The variables that make an adapter change
    something are set to zero and restored on exit. Nothing is traced again.

    Args:
        model: A model with adapters.
        first: Index of the first block, from 0.
        last: Index of the last one.
    """
    method = model.backbone.adapter
    blocks = model.backbone.encoder_blocks[first : last + 1] if method else []
    variables = [
        variable
        for block in blocks
        for layer in block.adapter_layers().values()
        for variable in cast(AdapterMethod, method).neutral_variables(layer)
    ]
    kept = [v.numpy() for v in variables]
    try:
        for variable in variables:
            variable.assign(np.zeros(variable.shape))
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def ablate_layers(
    directory: str | os.PathLike[str],
    rows: Rows,
    preset: str | None = None,
    batch_size: int = 64,
    on_span: Callable[[dict[str, Any]], None] = lambda span: None,
) -> dict[str, Any]:
    """Evaluate an adapter without the adapters of each continuous span of blocks.

    Nothing is trained again; see section 3.6 of Houlsby et al. (2019).

    Args:
        directory: An adapter directory with adapters.
        rows: Labelled rows to evaluate on.
        preset: The base; by default the one that the directory names.
        batch_size: Rows of a batch.
        on_span: Called with each entry of `spans` as soon as it is measured.

    Returns:
        JSON values, as `Ablation.from_dict` reads them: `kind`, `task`, `metric` (the
        first one), `num_layers`, `adapter` (the directory), `base_fingerprint`,
        `dev_rows`, `majority_baseline` (metrics of the best answer that ignores the
        texts), `full` (metrics with all adapters) and `spans`: for each `first` <=
        `last` the metrics `dev` without the adapters from block `first` to `last`.

    Raises:
        AdapterFileError: The directory cannot be used.
        UserError: The directory has no adapters.
    """
    loaded = LoadedAdapter(directory, preset, batch_size)
    model = loaded.model
    if not model.tuning.has_adapters:
        raise UserError(
            "Only a directory that was trained with tuning='adapters' or "
            "'adapters_only' has adapters to remove. Received: "
            f"{str(directory)!r}, of tuning={model.tuning.method!r}"
        )
    prepared = loaded.prepare(rows)
    full = loaded.evaluate(prepared).metrics
    blocks = len(model.backbone.encoder_blocks)
    references = rows.references
    spans = []
    for first in range(blocks):
        for last in range(first, blocks):
            with removed_adapters(model, first, last):
                metrics = loaded.evaluate(prepared).metrics
            spans.append({"first": first, "last": last, "dev": metrics})
            on_span(spans[-1])
    return {
        "kind": _KIND,
        "task": loaded.task.name,
        "metric": next(iter(full)),
        "num_layers": blocks,
        "adapter": str(Path(directory)),
        "base_fingerprint": model.get_config_of_adapter()["base_fingerprint"],
        "dev_rows": len(rows),
        "majority_baseline": majority_baseline(loaded.task, references, references),
        "full": full,
        "spans": spans,
    }
