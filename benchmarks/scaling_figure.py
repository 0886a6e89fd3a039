"""How costs grow: what was measured beside the law that it should follow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from adapters_tf.study.report.figures import new_figure, style, tried_values_axis

_POINTS: dict[str, Any] = {"color": "#0072B2", "marker": "o", "linestyle": ""}
_BENDS: dict[str, Any] = {
    "color": "#D55E00",
    "marker": "X",
    "markersize": 7,
    "linestyle": "",
}
_LAW: dict[str, Any] = {"color": "#555555", "linestyle": (0, (4, 2)), "linewidth": 1}


def draw_scaling(sweeps: Sequence[Mapping[str, Any]], x_label: str) -> Figure:
    """A panel for each sweep along one axis, both scales logarithmic.

    Args:
        sweeps: With `measure`, `sizes`, `costs` and `fit`, as in the file of
            the benchmark `scaling`.
        x_label: What the sizes count.
    """
    with style():
        figure = new_figure(max(3.6, 0.6 + 2.2 * len(sweeps)), 2.6)
        panels = figure.subplots(1, len(sweeps), squeeze=False).ravel()
        for axes, sweep in zip(panels, sweeps, strict=True):
            _panel(axes, sweep)
        figure.supxlabel(f"{x_label} (log scale)", fontsize=8)
        shown: dict[str, Any] = {}
        for axes in panels:
            handles, labels = axes.get_legend_handles_labels()
            shown |= dict(zip(labels, handles, strict=True))
        figure.legend(
            list(shown.values()),
            list(shown),
            loc="outside upper center",
            ncols=len(shown),
        )
    return figure


def _panel(axes: Axes, sweep: Mapping[str, Any]) -> None:
    fit = sweep["fit"]
    sizes, costs = np.array(sweep["sizes"], float), np.array(sweep["costs"], float)
    line = np.geomspace(sizes[0], sizes[-1], 100)
    axes.plot(line, fit["intercept"] + fit["slope"] * line, label="law", **_LAW)
    axes.plot(sizes, costs, label="measured", **_POINTS)
    bends = np.isin(sizes, fit["bends"])
    if bends.any():
        axes.plot(sizes[bends], costs[bends], label="off the law", **_BENDS)
    axes.set_title(f"{sweep['measure']}, {fit['law']}", loc="left")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    # Room about a constant, which would fill the panel with its noise.
    low, high = axes.get_ylim()
    if high / low < 4:
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 2, middle * 2)
    tried_values_axis(
        axes.xaxis, list(sizes), FuncFormatter(lambda value, _: f"{value:g}")
    )
    low, high = axes.get_ylim()
    steps = (1.0,) if high / low > 100 else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(10, subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
