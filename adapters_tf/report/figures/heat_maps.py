"""Heat maps: removed adapters, and confusion matrices."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from adapters_tf.report.ablation import Ablation
from adapters_tf.report.figures.style import new_figure, shortened, style
from adapters_tf.report.per_class import Confusion

# Up to these, the numbers in the cells can be read.
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
    """Cells without a value stay white; rows go downwards."""
    # As shapes and not as an image, which some programs show blurred.
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
    # A zero for a negative zero, and the minus sign of the axes.
    return f"{value + 0.0:.{digits}f}".replace("-", "−")
