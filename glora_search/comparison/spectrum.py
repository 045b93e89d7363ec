"""The suite `all` as a picture: test accuracy over parameters, which range from none to the whole backbone's.

The axis is logarithmic from the smallest row that has parameters; one without any stands at its left end. Colour and
marker say whether a row merges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glora_search.comparison.chart import APART, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
LOOKS = {"yes": ("o", "#2e7d32"), "partly": ("D", "#c77700"), "no": ("s", "#34495e")}  # marker, colour


def draw(name: str, rows: Sequence[Row], to: Path) -> Path | None:
    """Write a PNG, and return its path; None without matplotlib (the extra `plots`)."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in rows if row["left_out"] is None]
    figure = Figure(figsize=(9.5, 6), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.07, 0.1, 0.64, 0.82))
    places = _places(rows)
    for row, place in zip(rows, places, strict=True):
        marker, colour = LOOKS[row["mergeable"]]
        low, high = row["wilson"]
        middle = 100 * row["test_accuracy"]
        bar = [[max(0.0, middle - 100 * low)], [max(0.0, 100 * high - middle)]]  # at 100% rounding may cross it
        axes.errorbar(place, middle, bar, fmt=marker, color=colour, elinewidth=0.6, capsize=2, alpha=0.85)
    for mergeable, (marker, colour) in LOOKS.items():
        axes.plot([], [], marker, color=colour, label=f"mergeable: {mergeable}")
    axes.set_xscale("log")
    axes.set(xlabel="adapted parameters (logarithmic; none at the left end)", ylabel="test accuracy (%)")
    axes.set_title(f"{name}: every method, bars are 95% Wilson intervals", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best")
    _label(axes, rows, places)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to)
    return to


def _places(rows: Sequence[Row]) -> list[float]:
    """On the logarithmic axis; a row without parameters stands a third of the least that any has."""
    least = min((row["params"] for row in rows if row["params"]), default=1)
    return [row["params"] or least / 3 for row in rows]


def _label(axes: Axes, rows: Sequence[Row], places: Sequence[float]) -> None:
    """Names in a column beside the plot, apart from each other, each with a line to its point."""
    low, high = axes.get_ylim()
    ranked = sorted(zip(rows, places, strict=True), key=lambda each: -each[0]["test_accuracy"])
    heights = spread([(100 * row["test_accuracy"] - low) / (high - low) for row, _ in ranked], APART)
    for (row, place), height in zip(ranked, heights, strict=True):
        colour = LOOKS[row["mergeable"]][1]
        axes.annotate(
            f"{row['method']} {row['test_accuracy']:.1%}",
            (place, 100 * row["test_accuracy"]),
            (1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.3, "linewidth": 0.8, "relpos": (0, 0.5)},
        )
