"""The result as a picture: every candidate by parameters and validation accuracy, the front, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from db.records import Candidate

COLOURS = {"random_subnet": "#b8860b", "largest_subnet": "#8b3a62", "linear_probe": "#555555"}


def draw(
    name: str, report: Mapping[str, Any], candidates: Sequence[Candidate], front: Sequence[Candidate], to: Path
) -> Path | None:
    """Write a PNG, and return its path; None without matplotlib (the extra `plots`)."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    dots = axes.scatter(
        [candidate.params / 1000 for candidate in candidates],
        [_percent(candidate.accuracy) for candidate in candidates],
        c=[candidate.generation for candidate in candidates],
        cmap="viridis_r",
        s=16,
        alpha=0.75,
        linewidths=0,
        label=f"candidates ({len(candidates):,})",
    )
    axes.step(
        [candidate.params / 1000 for candidate in front],
        [_percent(candidate.accuracy) for candidate in front],
        where="post",
        color="#c0392b",
        linewidth=1.2,
        label="front",
    )
    for key, row in report["baselines"].items():
        title = f"{key.replace('_', ' ')}: test {row['test_accuracy']:.1%}"
        height = _percent(row["val_accuracy"])
        if key == "linear_probe":
            axes.axhline(height, color=COLOURS[key], linestyle=":", linewidth=1.2, label=title)
        else:
            axes.plot(row["params"] / 1000, height, "D", color=COLOURS[key], markersize=7, label=title)
    axes.plot(
        report["params"] / 1000,
        _percent(report["val_accuracy"]),
        "*",
        color="#c0392b",
        markersize=17,
        label=f"searched subnet: test {report['test_accuracy']:.1%}",
    )
    axes.set(xlabel="adapted parameters (thousands)", ylabel="validation accuracy (%)", title=name)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8, framealpha=0.9)
    figure.colorbar(dots, label="generation")
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to)
    return to


def _percent(accuracy: float | None) -> float:
    return 100 * (accuracy or 0.0)
