"""Whether results can stand in one report."""

import math
from collections.abc import Sequence

from adapters_tf.errors import DataError
from adapters_tf.study.results import Result


def check_results(results: Sequence[Result]) -> None:
    """Refuse results whose numbers do not compare.

    Raises:
        DataError: Two trials of a task differ in metric, kind or number of dev rows;
            two trials have other bases; a score is not a finite number, or a
            confusion matrix is not square.
    """
    first: dict[str, Result] = {}
    base: Result | None = None
    for result in results:
        _check_values(result)
        other = first.setdefault(result.setting.task, result)
        for field in ("metric", "kind", "dev_rows"):
            if getattr(result, field) != getattr(other, field):
                raise DataError(
                    "All trials of a task must be scored by the same metric on the "
                    f"same dev rows. Received: {field}={getattr(other, field)!r} of "
                    f"{other.setting.name} and {getattr(result, field)!r} of "
                    f"{result.setting.name}. Give their files to two reports."
                )
        if not result.base_parameters:
            continue
        base = base or result
        if result.base_parameters != base.base_parameters:
            raise DataError(
                "All trials of a report must be of one base. Received: "
                f"{base.base_parameters:,} parameters in the base of "
                f"{base.setting.name} and {result.base_parameters:,} in that of "
                f"{result.setting.name}. Give their files to two reports."
            )


def _check_values(result: Result) -> None:
    name = result.setting.name
    numbers = {
        "score": result.score,
        "trained_parameters": result.trained_parameters,
        "base_parameters": result.base_parameters,
        **result.majority_baseline,
    }
    for field, value in numbers.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(
                f"{field} of a result must be a finite number. Received: {value!r} "
                f"of {name}"
            )
    if result.confusion is None:
        return
    labels, counts = (result.confusion.get(k) for k in ("labels", "counts"))
    square = (
        isinstance(labels, list)
        and isinstance(counts, list)
        and len(counts) == len(labels)
        and all(
            isinstance(row, list)
            and len(row) == len(labels)
            and all(isinstance(count, int) and count >= 0 for count in row)
            for row in counts
        )
    )
    if not square:
        raise DataError(
            "confusion of a result must hold labels and, for each, a row of as many "
            f"counts. Received: {str(result.confusion)[:200]} of {name}"
        )
