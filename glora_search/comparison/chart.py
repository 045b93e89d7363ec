"""The comparison as a picture: test accuracy over parameters, with the spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glora_search.comparison.methods import OURS
from glora_search.picture import BASELINE, CHOSEN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
APART = 0.052  # of the height: between two labels


def draw(name: str, rows: Sequence[Row], to: Path) -> Path | None:
    """Write a PNG, and return its path; None without matplotlib (the extra `plots`)."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.08, 0.11, 0.56, 0.79))
    for row in rows:
        _points(axes, row)
    seeds = len(rows[0]["seeds"])
    axes.set(xlabel="adapted parameters (thousands)", ylabel="test accuracy (%)")
    axes.set_title(f"{name}: mean of {seeds} seed{'s' if seeds > 1 else ''}, bars are standard deviations", fontsize=10)
    axes.margins(0.06, 0.08)
    axes.grid(alpha=0.25)
    _label(axes, rows)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to)
    return to


def _points(axes: Axes, row: Row) -> None:
    """A row, and hollow above or below it the same trained longer; ours is a star."""
    ours = row["method"] == OURS
    place, colour = row["params"] / 1000, CHOSEN if ours else BASELINE
    look: dict[str, Any] = {"fmt": "*" if ours else "o", "markersize": 15 if ours else 6, "color": colour, "capsize": 3}
    axes.errorbar(place, 100 * row["test_accuracy"], 100 * row["test_std"], zorder=3 if ours else 2, **look)
    if (longer := row["longer"]) is not None:
        hollow: dict[str, Any] = {
            "fmt": "o",
            "markersize": 6,
            "markerfacecolor": "white",
            "color": colour,
            "alpha": 0.7,
        }
        axes.errorbar(place, 100 * longer["test_accuracy"], 100 * longer["test_std"], capsize=2, **hollow)


def _label(axes: Axes, rows: Sequence[Row]) -> None:
    """Names in a column beside the plot, apart from each other, each with a line to its point."""
    low, high = axes.get_ylim()
    ranked = sorted(rows, key=lambda row: -row["test_accuracy"])
    heights = [(100 * row["test_accuracy"] - low) / (high - low) for row in ranked]
    for row, height in zip(ranked, spread(heights, APART), strict=True):
        colour = CHOSEN if row["method"] == OURS else BASELINE
        axes.annotate(
            _text(row),
            (row["params"] / 1000, 100 * row["test_accuracy"]),
            (1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.3, "linewidth": 0.8},
        )


def _text(row: Row) -> str:
    longer = row["longer"]
    more = f" (longer {longer['test_accuracy']:.1%})" if longer is not None else ""
    return f"{row['method']} {row['test_accuracy']:.1%}{more}"


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Falling heights in [0, 1], moved as little as a pass down and one up need to be `apart` from each other."""
    found: list[float] = []
    for height in heights:
        found.append(min(height, found[-1] - apart) if found else min(height, 1.0))
    floor = 0.0
    for place in reversed(range(len(found))):
        found[place] = max(found[place], floor)
        floor = found[place] + apart
    return found
