"""Adapters of one base as points between which there are others."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters_tf.errors import UserError
from adapters_tf.models.adapter import Adapter, check_tensors

# What must be equal for a mean to have a meaning.
_SAME = ("kind", "adapter", "tuning", "head", "base_fingerprint", "seq_length")


def average_adapters(
    adapters: Sequence[Adapter], weights: Sequence[float] | None = None
) -> Adapter:
    """The weighted mean of all tensors, in float64, given in float32.

    Of the runs of several seeds, for one. Its metrics are unknown, and are left out.

    Args:
        adapters: Two or more, of one base, form and task.
        weights: One for each, which sum to 1; by default all are equal.

    Returns:
        An adapter that is like the first one in all else.

    Raises:
        UserError: if they are fewer than two, of different base, form, longest input,
            classes or text columns, hold NaN or infinity, or the weights are not one
            finite number for each with a sum of 1.
    """
    if len(adapters) < 2:
        raise UserError(
            f"An average is of two or more adapters. Received: {len(adapters)}"
        )
    weights = [1 / len(adapters)] * len(adapters) if weights is None else list(weights)
    if (
        len(weights) != len(adapters)
        or not all(map(math.isfinite, weights))
        or abs(sum(weights) - 1) > 1e-6
    ):
        raise UserError(
            "weights must be one number for each adapter, with a sum of 1. Received: "
            f"weights={weights} for {len(adapters)} adapters"
        )
    first = adapters[0]
    if first.base_fingerprint is None:
        raise UserError(
            "Adapters that are averaged must be of one base, and say which. Received: "
            "adapters without a base_fingerprint"
        )
    for i, other in enumerate(adapters, 1):
        check_same_form(first, other, f"adapter {i}")
    tensors = {}
    for path in first.tensors:
        values = (a.tensors[path].astype(np.float64) for a in adapters)
        total = sum(w * value for w, value in zip(weights, values, strict=True))
        with np.errstate(over="ignore"):  # looked for below
            tensors[path] = np.asarray(total).astype(np.float32)
    runs = [a.training for a in adapters]
    # What all have, such as the form of the files: the model card's commands need it.
    about = {k: v for k, v in runs[0].items() if all(run.get(k) == v for run in runs)}
    about |= {"averaged": runs, "weights": weights}
    mean = dataclasses.replace(first, tensors=tensors, metrics={}, training=about)
    check_same_form(first, mean, "their mean")
    return mean


def interpolate_adapters(first: Adapter, second: Adapter, share: float) -> Adapter:
    """A point on the line between two adapters; see `average_adapters`.

    Args:
        first: Where `share` is 0.
        second: Where `share` is 1.
        share: From 0 to 1.

    Raises:
        UserError: as `average_adapters`, or if the share is out of range.
    """
    if not 0 <= share <= 1:
        raise UserError(f"share must be from 0 to 1. Received: share={share}")
    return average_adapters([first, second], [1 - share, share])


def check_same_form(first: Adapter, other: Adapter, name: str) -> None:
    """Refuse two adapters whose tensors do not mean the same.

    Args:
        first: One.
        other: The other.
        name: What the error calls the other.

    Raises:
        UserError: names the first field that differs.
    """

    def fields(adapter: Adapter) -> dict[str, Any]:
        own = {field: getattr(adapter, field) for field in _SAME}
        labels = list(adapter.task.get("labels", ()))
        return own | {"labels": labels, "text_columns": _columns(adapter)}

    mine, theirs = fields(first), fields(other)
    for field, value in mine.items():
        if theirs[field] != value:
            raise UserError(
                "Adapters that are averaged must be of one base, form and task. "
                f"Received: {name} with {field}={theirs[field]}; the first one has "
                f"{field}={value}"
            )
    shapes = {path: tuple(value.shape) for path, value in first.tensors.items()}
    check_tensors(other.tensors, shapes)


def _columns(adapter: Adapter) -> list[str] | int:
    """The columns in their order; of one, whose name says nothing, the number."""
    columns = list(adapter.task.get("text_columns", ()))
    return columns if len(columns) > 1 else len(columns)
