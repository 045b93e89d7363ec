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
FAR = 0.15  # below ours: a row this much worse is drawn at the edge, so that the others can be told apart


def draw(name: str, rows: Sequence[Row], to: Path) -> Path | None:
    """Write a PNG, and return its path; None without matplotlib (the extra `plots`)."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.08, 0.11, 0.6, 0.8))
    floor = next(row["test_accuracy"] for row in rows if row["method"] == OURS) - FAR
    far = [row for row in rows if row["test_accuracy"] < floor]
    for row in rows:
        if row not in far:
            _points(axes, row)
    low = axes.get_ylim()[0]
    for row in far:
        axes.plot(row["params"] / 1000, low, "v", color=BASELINE, markersize=7, clip_on=False)
    seeds = len(rows[0]["seeds"])
    axes.set(xlabel="adapted parameters (thousands)", ylabel="test accuracy (%)", xlim=_around(rows))
    axes.set_ylim(bottom=low)
    spread_over = f"mean of {seeds} seeds, bars are standard deviations" if seeds > 1 else "one seed"
    axes.set_title(f"{name}: {spread_over}", fontsize=10)
    axes.grid(alpha=0.25)
    _label(axes, rows)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to)
    return to


def _around(rows: Sequence[Row]) -> tuple[float, float]:
    """Of the horizontal axis."""
    most = max(row["params"] for row in rows) / 1000
    return -0.05 * most - 1e-3, 1.05 * most + 1e-3


def _points(axes: Axes, row: Row) -> None:
    """A row, and hollow above or below it the same trained longer; ours is a star."""
    ours = row["method"] == OURS
    place, colour = row["params"] / 1000, CHOSEN if ours else BASELINE
    look: dict[str, Any] = {"fmt": "*" if ours else "o", "markersize": 15 if ours else 6, "color": colour, "capsize": 3}
    axes.errorbar(place, 100 * row["test_accuracy"], _bar(row), zorder=3 if ours else 2, **look)
    if (longer := row["longer"]) is not None:
        hollow: dict[str, Any] = {"fmt": "o", "markersize": 6, "markerfacecolor": "white", "color": colour}
        axes.errorbar(place, 100 * longer["test_accuracy"], _bar(longer), capsize=2, alpha=0.7, **hollow)


def _bar(line: Row) -> float | None:
    """Half of its length, in points; none of a single seed."""
    return None if line["test_std"] is None else 100 * float(line["test_std"])


def _label(axes: Axes, rows: Sequence[Row]) -> None:
    """Names in a column beside the plot, apart from each other, each with a line to its point."""
    low, high = axes.get_ylim()
    ranked = sorted(rows, key=lambda row: -row["test_accuracy"])
    places = [max(low, 100 * row["test_accuracy"]) for row in ranked]
    heights = spread([(place - low) / (high - low) for place in places], APART)
    for row, place, height in zip(ranked, places, heights, strict=True):
        axes.annotate(
            _text(row),
            (row["params"] / 1000, place),
            (1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=(colour := CHOSEN if row["method"] == OURS else BASELINE),
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.3, "linewidth": 0.8, "relpos": (0, 0.5)},
        )


def _text(row: Row) -> str:
    longer = row["longer"]
    more = f" (longer {longer['test_accuracy']:.1%})" if longer is not None else ""
    return f"{row['method']} {row['test_accuracy']:.1%}{more}"


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Falling heights in [0, 1], moved as little as it takes to be `apart` from each other: pooled where they crowd."""
    crowds: list[list[float]] = []  # each of heights as if its first stood for all
    for place, height in enumerate(heights):
        crowds.append([height + place * apart])
        while len(crowds) > 1 and _mean(crowds[-2]) < _mean(crowds[-1]):
            crowds[-2:] = [crowds[-2] + crowds[-1]]
    level = [_mean(crowd) for crowd in crowds for _ in crowd]
    last = len(heights) - 1
    return [min(1.0, max(last * apart, each)) - place * apart for place, each in enumerate(level)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
