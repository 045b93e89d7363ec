"""The figures as pictures: costs beside their bars, and how a candidate's cost grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

OURS, OTHERS, BAR = "#c0392b", "#34495e", "#888888"  # as in glora_search.picture
COSTS = (  # (key in results.json, what it is, its bar)
    ("candidate_over_plain", "candidate / plain forward", 1.10),
    ("raced_evolution_over_plain", "raced, evolution / plain forward", 0.65),
    ("raced_over_plain", "raced, random search / plain forward", 0.50),
    ("export_over_plain", "exported model / plain forward", 1.00),
    ("step_over_floor", "our step / floor", 1.50),
    ("lora_over_floor", "PEFT LoRA step / floor", None),
    ("glora_over_floor", "PEFT GLoRA step / floor", None),
    ("reference_over_floor", "reference step / floor", None),
)
LAST_OF_OURS = 5  # of COSTS


@dataclass(frozen=True)
class Panel:
    """One curve: ratios to its first point."""

    key: str
    label: str  # of the horizontal axis
    places: tuple[float, ...]  # on it
    names: tuple[str, ...]  # of the points
    ratios: tuple[Ratio, ...]


def draw_growth(panels: Sequence[Panel], to: Path) -> None:
    """Write a PNG with a plot for each panel."""
    _save(growth_figure(panels), to)


def growth_figure(panels: Sequence[Panel]) -> Canvas:
    """A plot for each panel, its vertical axis from zero."""
    figure = _canvas(11, 3.2)
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _curve(axes, panel)
    figure.axes[0].set_ylabel("cost of a candidate, first point = 1")
    return figure


def draw_costs(figures: Mapping[str, float], to: Path) -> None:
    """Write a PNG with the figures of COSTS that are there, each beside its bar; none without any."""
    rows = [(place, *cost) for place, cost in enumerate(COSTS) if cost[0] in figures][::-1]  # the first on top
    if not rows:
        return
    figure = _canvas(8, 0.6 + 0.36 * len(rows))
    axes = figure.subplots()
    for height, (place, key, _, bar) in enumerate(rows):
        axes.barh(height, figures[key], color=OURS if place < LAST_OF_OURS else OTHERS, height=0.6)
        style = {"ha": "right", "va": "center", "color": "white", "fontsize": 8}
        axes.annotate(f"{figures[key]:.2f}", (figures[key], height), (-4, 0), textcoords="offset points", **style)
        if bar is not None:
            axes.plot([bar, bar], [height - 0.42, height + 0.42], color=BAR, linewidth=2)
    axes.set_yticks(range(len(rows)), [what for _, _, what, _ in rows], fontsize=8)
    axes.set(xlabel="ratio; the grey marks are the bars")
    axes.margins(x=0.05)
    axes.grid(alpha=0.25, axis="x")
    _save(figure, to)


def _curve(axes: Axes, panel: Panel) -> None:
    values = [ratio.value for ratio in panel.ratios]
    spread = [
        [r.value - min(r.low, r.value) for r in panel.ratios],
        [max(r.high, r.value) - r.value for r in panel.ratios],
    ]
    axes.errorbar(panel.places, values, yerr=spread, color=OURS, marker="o", markersize=5, linewidth=1.2, capsize=3)
    for place, value in zip(panel.places, values, strict=True):
        axes.annotate(f"{value:.3g}", (place, value), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    doubling = _crowded(panel.places)
    axes.set_xscale("log" if doubling else "linear")
    axes.set_xticks(panel.places, [f"{place:.3g}" for place in panel.places], fontsize=8)
    axes.minorticks_off()
    axes.margins(x=0.12, y=0.15)
    axes.set(xlabel=f"{panel.label}, log scale" if doubling else panel.label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)


def _crowded(places: Sequence[float]) -> bool:
    """Whether labels would overlap on a linear axis: two places nearer than a tenth of its length."""
    gaps = [after - before for before, after in pairwise(places)]
    return bool(gaps) and min(gaps) < (places[-1] - places[0]) / 10


def _canvas(width: float, height: float) -> Canvas:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Canvas, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to)
