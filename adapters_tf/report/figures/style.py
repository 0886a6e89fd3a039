"""Colours, marks and sizes that all figures share, and how they are saved."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullLocator,
)

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), which people with
# colour-blindness tell apart; each goes with a mark of its own, for print in grey.
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
    """Matplotlib's settings for a figure, while it is made and while it is saved."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float, square_cells: bool = False) -> Figure:
    """An empty figure of this size in inches, without a window.

    Args:
        width: In inches.
        height: In inches.
        square_cells: Whether the axes' sides have a fixed ratio; their labels are
            cut off where the layout does not know.
    """
    layout: Literal["compressed", "constrained"]
    layout = "compressed" if square_cells else "constrained"
    return Figure(figsize=(width, height), layout=layout)


def save(figure: Figure, path: Path) -> bytes:
    """Write `path` with the suffixes .png and .svg.

    Returns:
        The SVG file.
    """
    # Without the version and the date, so that nothing but the results is in them.
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
    """A name of a task or a class in one line of at most so many characters."""
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
    """Ticks at the values themselves, as many as fit beside one another.

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
