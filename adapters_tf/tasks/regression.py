"""Regression: a score for one or more texts."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from adapters_tf.data.files import DataFile, Table
from adapters_tf.data.labels import encode_scores, parse_number, where
from adapters_tf.errors import DataError
from adapters_tf.models.adapter_backbone import AdapterBackbone
from adapters_tf.models.task import KindFacts, Task
from adapters_tf.models.text_model import TextModel
from adapters_tf.models.trainable_set import Tuning
from adapters_tf.tasks.base import Prepared, RowsOfTasks, Tensors
from adapters_tf.tasks.text_kind import TextKind, check_same_shape

# Numbers with a decimal comma: float() refuses them, and they are no names either.
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterTextRegressor(TextModel):
    """Regression on one or more texts, trained on the squared error.

    Outputs and labels are `[batch]` float32 scores. Arguments are those of
    `AdapterTextClassifier` without `num_classes`.
    """

    kind = "regression"
    facts = KindFacts(labels="score", metrics=("spearman", "pearson"))
    default_loss = keras.losses.MeanSquaredError

    def __init__(
        self,
        backbone: AdapterBackbone,
        preprocessor: Any = None,
        head_input: str = "cls",
        dropout: float = 0.1,
        tuning: Tuning | str | dict[str, Any] = "adapters",
        hidden_layer: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            backbone,
            1,
            preprocessor,
            head_input,
            dropout,
            tuning,
            hidden_layer=hidden_layer,
            squeeze=True,
            **kwargs,
        )

    def example_losses(self, y: Any, outputs: Any) -> Any:
        # Add an axis: the loss would average two [batch] vectors over the examples.
        return super().example_losses(y[:, None], outputs[:, None])


class Regression(TextKind):
    """A score for each row.

    Metrics are SciPy's correlations `spearman` and `pearson`. If undefined (constant
    predictions or references, fewer than 2 rows, or non-finite predictions), they are
    0. References and predictions are `[N]` scores.
    """

    name = "regression"
    label_kind = "number"
    model_class = AdapterTextRegressor

    def recognises(self, file: DataFile) -> bool:
        """Whether the labels are scores: all numbers, and one of them with a fraction.

        Raises:
            DataError: if all are numbers, and one of them has a decimal comma.
        """
        file.require_labels()
        raw = file.table.raw_labels or []
        commas = [i for i, value in enumerate(raw) if _COMMA.fullmatch(value)]
        numbers = [parse_number(value.replace(",", ".")) for value in raw]
        if not all(n is not None and math.isfinite(n) for n in numbers):
            return False
        if commas:
            place = where(commas[0], file.table.lines, file.path)
            raise DataError(
                "Numbers need a decimal point. Received: "
                f"{raw[commas[0]]!r} at {place}. Write 0.7 for 0,7; if they are names "
                "of classes, give --label_kind=class"
            )
        return any(n != int(n) for n in numbers if n is not None)

    def encode(self, table: Table, labels: Sequence[str]) -> np.ndarray:
        return encode_scores(table.raw_labels or [], lines=table.lines, path=table.path)

    def records(
        self, task: Task, outputs: Sequence[Any], prepared: Prepared
    ) -> list[dict[str, Any]]:
        """Return `score`."""
        return [{"score": float(value)} for value in outputs]

    def predictions(
        self, task: Task, records: Sequence[Mapping[str, Any]]
    ) -> np.ndarray:
        return np.array([r["score"] for r in records])

    def scores(self, task: Task, predictions: Any, references: Any) -> dict[str, float]:
        import scipy.stats

        given, expected = check_same_shape(predictions, references)
        finite = np.isfinite(given)
        if not finite.all():
            logging.warning(
                "%d of %d predictions are not finite: their correlation is given as 0",
                len(given) - finite.sum(),
                len(given),
            )
            return dict.fromkeys(self.metrics, 0.0)
        # In these cases, SciPy warns and returns NaN.
        if len(given) < 2 or np.ptp(given) == 0 or np.ptp(expected) == 0:
            return dict.fromkeys(self.metrics, 0.0)
        given, expected = given.astype(np.float64), expected.astype(np.float64)
        return {
            "spearman": scipy.stats.spearmanr(expected, given).statistic,
            "pearson": scipy.stats.pearsonr(expected, given).statistic,
        }

    def majority(self, task: Task, train: Any, dev: Any) -> np.ndarray:
        """Return the mean score of the training rows."""
        return np.full(len(dev), np.asarray(train).mean())

    def head_function(
        self, config: Mapping[str, Any]
    ) -> Callable[[Tensors, Tensors], Any]:
        head = super().head_function(config)
        return lambda outputs, tensors: head(outputs, tensors)[:, 0]

    def token_outputs(self, logits: Any, labels: Any) -> Tensors:
        """Return `score` `[B]`."""
        return {"score": logits[:, 0]}

    def mixed_outputs(self, rows: RowsOfTasks) -> Tensors:
        """Return `score` `[B]`."""
        return {"score": rows.logits[1][:, 0]}

    def served_record(
        self, task: Task, outputs: Mapping[str, Any], row: tuple[str, ...], row_id: Any
    ) -> dict[str, Any]:
        return {"score": float(outputs["score"])}
