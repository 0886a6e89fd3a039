"""Whether what was measured is constant or linear, and where it bends."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.optimize

CONSTANT, LINEAR = "constant", "linear"
# A point that is farther from its law, by the law's own value, is said to bend.
BEND = 0.2


def fit_law(law: str, sizes: Sequence[float], costs: Sequence[float]) -> dict[str, Any]:
    """Fit `cost = intercept + slope * size` to points, each as near relative to itself.

    Args:
        law: `CONSTANT` (slope 0) or `LINEAR`.
        sizes: Positive numbers.
        costs: What was measured at each of them, positive.

    Returns:
        `law`, `intercept` and `slope`, neither negative; `exponent`, the slope of
        log(cost) by log(size) over all points, and `last_exponent`, that of the last
        two; `residual`, the largest distance of a point from the law, by the law's
        value there; and `bends`, the sizes where it is more than `BEND`.
    """
    x, y = np.asarray(sizes, float), np.asarray(costs, float)
    columns = np.stack([np.ones_like(x), x if law == LINEAR else 0 * x], axis=1)
    # Divided by the cost: a relative distance counts, else the largest decide alone.
    (intercept, slope), _ = scipy.optimize.nnls(columns / y[:, None], np.ones_like(y))
    fitted = intercept + slope * x
    away = np.abs(y / fitted - 1)
    return {
        "law": law,
        "intercept": float(intercept),
        "slope": float(slope),
        "exponent": float(np.polyfit(np.log(x), np.log(y), 1)[0]),
        "last_exponent": float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2])),
        "residual": float(away.max()),
        "bends": [size for size, off in zip(sizes, away, strict=True) if off > BEND],
    }
