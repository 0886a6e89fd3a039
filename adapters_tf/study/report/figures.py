"""Style of all figures, the trade-off and the heat maps, drawn with Matplotlib."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullLocator,
    PercentFormatter,
)

from adapters_tf.study.ablation import Ablation
from adapters_tf.study.report.analysis import Confusion, TradeoffPoint
from adapters_tf.study.report.labels import METHODS

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), which colour-blind people
# can tell apart. Each has a mark of its own, for prints in grey.
COLOURS = {
    "adapters": "#D55E00",
    "fine_tuning": "#0072B2",
    "full": "#0072B2",
    "top_n": "#56B4E9",
    "layer_norm": "#009E73",
    "head": "#CC79A7",
    "no_bert": "#000000",
}
MARKS = {
    "adapters": "o",
    "fine_tuning": "s",
    "full": "s",
    "top_n": "v",
    "layer_norm": "^",
    "head": "D",
    "no_bert": "X",
}
FULL_WIDTH = 7.0  # inches, of a page with two columns
PNG_DPI = 200

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "errorbar.capsize": 2,
    # A dollar sign in a name of a task or a class is a dollar sign.
    "text.parse_math": False,
    # The same results give the same file.
    "svg.hashsalt": "adapters_tf",
    # Letters as shapes: the page looks the same without this machine's fonts.
    "svg.fonttype": "path",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Set Matplotlib's parameters while a figure is drawn or saved."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float, square_cells: bool = False) -> Figure:
    """An empty figure of this size in inches, without a window.

    Args:
        width: In inches.
        height: In inches.
        square_cells: Whether the axes have a fixed aspect ratio, for which the layout
            must leave room for the labels.
    """
    layout: Literal["compressed", "constrained"]
    layout = "compressed" if square_cells else "constrained"
    return Figure(figsize=(width, height), layout=layout)


def save(figure: Figure, path: Path) -> bytes:
    """Write `path` with the suffixes .png and .svg.

    Returns:
        The SVG file.
    """
    # No version and no date: equal results make equal files.
    png: dict[str, Any] = {
        "format": "png",
        "dpi": PNG_DPI,
        "metadata": {"Software": None},
    }
    svg = io.BytesIO()
    with style():
        figure.savefig(path.with_name(f"{path.name}.png"), **png)
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    path.with_name(f"{path.name}.svg").write_bytes(svg.getvalue())
    return svg.getvalue()


def shortened(name: str, longest: int) -> str:
    """A name in one line of at most `longest` characters."""
    name = " ".join(name.split())
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def parameter_axis(axes: Axes) -> None:
    """A logarithmic x axis of numbers of parameters: 100k, 1M, 10M."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    steps = (1.0,) if high / low > 50 else (1.0, 3.0)
    axes.xaxis.set_major_locator(LogLocator(10, subs=steps, numticks=6))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_locator(NullLocator())


def tried_values_axis(axis: Axis, values: list[float], text: FuncFormatter) -> None:
    """Put ticks at the values themselves, as many as fit side by side.

    Args:
        axis: A logarithmic axis.
        values: Positive numbers.
        text: Makes their labels.
    """
    values = sorted(set(values))
    # "5e-5" takes nearly a quarter of the width of the narrowest panels.
    factor = (values[-1] / values[0]) ** (1 / 4)
    kept = [values[0]]
    for value in values[1:]:
        if value >= kept[-1] * factor:
            kept.append(value)
    axis.set_major_locator(FixedLocator(kept))
    axis.set_major_formatter(text)
    axis.set_minor_locator(NullLocator())


_NAMES = METHODS | {"top_n": "fine-tuning of the top blocks"}


def draw_tradeoff(points: Sequence[TradeoffPoint]) -> Figure:
    """Median and percentiles over the tasks, against trained parameters."""
    with style():
        figure = new_figure(5.2, 3.4)
        axes = figure.subplots()
        axes.axhline(0, color="#555555", linewidth=0.8)
        for method in dict.fromkeys(point.method for point in points):
            _curve(axes, method, [p for p in points if p.method == method])
        axes.set_xlabel("trained parameters for a task (log scale)")
        axes.set_ylabel("score minus full fine-tuning (points)")
        axes.margins(x=0.05, y=0.08)
        parameter_axis(axes)
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def _curve(axes: Axes, method: str, points: list[TradeoffPoint]) -> None:
    key = "fine_tuning" if method == "top_n" else method
    look: dict[str, Any] = {"color": COLOURS[key], "marker": MARKS[key]}
    look["label"] = _NAMES[method]
    x = [point.trained for point in points]
    median, low, high = (
        [100 * getattr(point, name) for point in points]
        for name in ("median", "low", "high")
    )
    if method == "full":
        look |= {"color": "#000000", "marker": "*", "markersize": 9, "linestyle": ""}
        axes.plot(x, median, **look)
    elif len(points) > 1:
        axes.fill_between(x, low, high, color=COLOURS[key], alpha=0.2, linewidth=0)
        axes.plot(x, median, **look)
    else:
        # The percentiles over a single task have no distance to show.
        bars = None
        if points[0].tasks > 1:
            bars = [[median[0] - low[0]], [high[0] - median[0]]]
        axes.errorbar(x, median, bars, linestyle="", **look)


# Larger maps have no readable numbers or names.
_LAYERS_WITH_NUMBERS = 16
_CLASSES_WITH_NUMBERS = 12
_CLASSES_WITH_NAMES = 40
_LONGEST_NAME = 24


def draw_ablation(ablation: Ablation) -> Figure:
    """Change of the score by first and last removed layer."""
    changes = 100 * ablation.changes()
    layers = ablation.num_layers
    with_numbers = layers <= _LAYERS_WITH_NUMBERS
    side = min(7.0, max(2.6, (0.36 if with_numbers else 0.2) * layers))
    with style():
        figure = new_figure(side + 1.1, side + 0.4, square_cells=True)
        axes = figure.subplots()
        lowest = min(0.0, float(np.nanmin(changes)))
        highest = max(0.0, float(np.nanmax(changes)))
        if lowest == highest:
            lowest = -1.0
        texts = None
        if with_numbers:
            digits = 0 if lowest <= -10 else 1
            texts = [
                ["" if np.isnan(v) else _signed(v, digits) for v in row]
                for row in np.round(changes, digits)
            ]
        mesh = _heat_map(axes, changes, texts, "viridis", Normalize(lowest, highest))
        axes.set_xlabel("last layer without adapters")
        axes.set_ylabel("first layer without adapters")
        step = 1 if with_numbers else 4
        axes.set_xticks(range(0, layers, step))
        axes.set_yticks(range(0, layers, step))
        unit = "relative change (%)" if ablation.relative else "change (points)"
        bar = figure.colorbar(mesh, ax=axes, shrink=0.8, label=f"{unit} of the score")
        bar.outline.set_visible(False)
    return figure


def draw_confusion(confusion: Confusion) -> Figure:
    """Counts, coloured by their share of the class's rows."""
    counts = confusion.counts
    n = len(counts)
    shares = 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))
    with_numbers = n <= _CLASSES_WITH_NUMBERS
    side = min(7.0, max(1.9, (0.52 if with_numbers else 0.2) * n))
    names = [shortened(label, _LONGEST_NAME) for label in confusion.labels]
    turned = n > 3 or max(map(len, names)) > 8
    with style():
        figure = new_figure(
            side + 1.7, side + (1.0 if turned else 0.7), square_cells=True
        )
        axes = figure.subplots()
        texts = None
        if with_numbers:
            texts = [
                [f"{count:,}\n{share:.0f}%" for count, share in zip(*row, strict=True)]
                for row in zip(counts, shares, strict=True)
            ]
        mesh = _heat_map(axes, shares, texts, "Blues", Normalize(0, 100))
        axes.set_xlabel("predicted class")
        axes.set_ylabel("class")
        if n <= _CLASSES_WITH_NAMES:
            look: dict[str, Any] = {
                "rotation": 45,
                "ha": "right",
                "rotation_mode": "anchor",
            }
            axes.set_xticks(range(n), names, **(look if turned else {}))
            axes.set_yticks(range(n), names)
        bar = figure.colorbar(mesh, ax=axes, shrink=0.8, label="share of the class")
        bar.ax.yaxis.set_major_formatter(PercentFormatter(decimals=0))
        bar.outline.set_visible(False)
    return figure


def _heat_map(
    axes: Axes,
    values: np.ndarray,
    texts: list[list[str]] | None,
    colours: str,
    norm: Normalize,
) -> QuadMesh:
    """Draw a heat map; cells without a value stay white, rows go downwards."""
    # Shapes, because some programs blur images.
    n = len(values)
    edges = np.arange(n + 1) - 0.5
    mesh = axes.pcolormesh(
        edges,
        edges,
        np.ma.masked_invalid(values),
        cmap=colours,
        norm=norm,
        edgecolors="white",
        linewidth=0.5 if n <= _CLASSES_WITH_NAMES else 0,
    )
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if texts is not None:
        size = 6.5 if max(len(t) for row in texts for t in row) < 9 else 5.5
        for i, j in np.ndindex(values.shape):
            red, green, blue, _ = colormaps[colours](norm(values[i, j]))
            # Perceived brightness (ITU-R BT.601).
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size}
            axes.text(j, i, texts[i][j], color="white" if dark else "black", **look)
    return mesh


def _signed(value: float, digits: int) -> str:
    # `+ 0.0` turns -0.0 into 0.0; the minus sign is that of the axes.
    return f"{value + 0.0:.{digits}f}".replace("-", "−")
