"""The anatomy as a picture: rows of a heatmap are depths, columns layer kinds; above the best, below the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glora_search.anatomy.costs import FREE
from glora_search.anatomy.layers import Layer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")  # Okabe and Ito 2008
NONE, MISSING = "#777777", "#f4f4f4"
Colour = tuple[float, float, float]


def draw(name: str, groups: Mapping[str, Sequence[Layer]], to: Path) -> Path | None:
    """Write a PNG with a row of panels for each (title, layers), and return its path; None without matplotlib."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    every = [layer for layers in groups.values() for layer in layers]
    colours = _colours(every)
    depths = len({layer.depth for layer in every})
    figure = Figure(figsize=(16, (1.9 + 0.27 * depths) * len(groups) + 0.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{name}: where the parameters went, and the form that most candidates have", fontsize=13)
    rows = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
    for row, (title, layers) in zip(rows, groups.items(), strict=True):
        _row(row, title, layers, colours)
    _legend(rows[-1], colours)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to)
    return to


def _row(row: SubFigure, title: str, layers: Sequence[Layer], colours: Mapping[str, Colour]) -> None:
    """Parameters first, then a panel for each support."""
    row.suptitle(title, fontsize=11, x=0.01, ha="left")
    supports = sorted({support for layer in layers for support in layer.shares})
    panels = row.subplots(1, 1 + len(supports), squeeze=False)[0]
    _parameters(panels[0], layers)
    for axes, support in zip(panels[1:], supports, strict=True):
        _forms(axes, support, layers, colours)
    panels[0].set_ylabel("depth")


def _parameters(axes: Axes, layers: Sequence[Layer]) -> None:
    """Mean adapted parameters of each layer, in thousands."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    most = max((layer.parameters or 0.0 for layer in layers), default=0.0) or 1.0
    scale = colormaps["viridis_r"]
    cells = {
        (layer.depth, layer.kind): (
            to_rgb(scale(layer.parameters / most)),
            f"{layer.parameters / 1000:.1f}",
        )
        for layer in layers
        if layer.parameters is not None
    }
    title = "mean adapted parameters\n(thousands a layer)" if cells else "mean adapted parameters:\nnot determined"
    _heatmap(axes, title, layers, cells)


def _forms(axes: Axes, support: str, layers: Sequence[Layer], colours: Mapping[str, Colour]) -> None:
    """The most frequent form, the paler the rarer, and the share of candidates that have it."""
    cells = {}
    for layer in layers:
        if (most := layer.most(support)) is not None:
            form, share = most
            cells[layer.depth, layer.kind] = _faded(colours[form], share), f"{100 * share:.0f}"
    _heatmap(axes, f"{support}: most frequent form\n(% of candidates)", layers, cells)


def _heatmap(
    axes: Axes, title: str, layers: Sequence[Layer], cells: Mapping[tuple[str, str], tuple[Colour, str]]
) -> None:
    """A coloured square with a text for each (depth, kind); what is not there is left pale."""
    from matplotlib.colors import to_rgb

    depths = list(dict.fromkeys(layer.depth for layer in layers))
    kinds = list(dict.fromkeys(layer.kind for layer in layers))
    empty = to_rgb(MISSING), ""
    grid = [[cells.get((depth, kind), empty) for kind in kinds] for depth in depths]
    axes.pcolormesh(np.array([[colour for colour, _ in row] for row in grid]), edgecolors="white", linewidth=1)
    for y, row in enumerate(grid):
        for x, (colour, text) in enumerate(row):
            label = axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=7, color=_ink(colour))
            label.set_in_layout(False)  # it is inside its cell: measuring hundreds of them takes as long as drawing
    axes.set_xticks([x + 0.5 for x in range(len(kinds))], short(kinds), fontsize=8)
    axes.set_yticks([y + 0.5 for y in range(len(depths))], depths, fontsize=8)
    axes.invert_yaxis()  # the first block on top
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9)


def short(kinds: Sequence[str]) -> list[str]:
    """`qkv` for `attn.qkv`, unless that would name two of them."""
    last = [kind.rpartition(".")[2] for kind in kinds]
    return last if len(set(last)) == len(last) else list(kinds)


def _colours(layers: Sequence[Layer]) -> dict[str, Colour]:
    """A colour for each form that occurs, whatever the support; grey for `none`."""
    from matplotlib.colors import to_rgb

    forms = sorted({form for layer in layers for shares in layer.shares.values() for form in shares} - {FREE})
    found = {form: to_rgb(COLOURS[place % len(COLOURS)]) for place, form in enumerate(forms)}
    return found | {FREE: to_rgb(NONE)}


def _legend(row: SubFigure, colours: Mapping[str, Colour]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=colour, label=form) for form, colour in colours.items()]
    row.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=9, frameon=False)


def _faded(colour: Colour, share: float) -> Colour:
    """The whole colour at a share of 1, a seventh of it at 0."""
    red, green, blue = (1 - (0.15 + 0.85 * share) * (1 - part) for part in colour)
    return red, green, blue


def _ink(colour: Colour) -> str:
    """Black or white, whichever reads better; luminance of Rec. 709."""
    red, green, blue = colour
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 else "white"
