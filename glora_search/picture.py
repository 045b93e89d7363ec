"""The result as a picture: left the search, every candidate by parameters and validation accuracy; right the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.records import Candidate
from glora_search.statistics import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

CHOSEN, FRONT, BASELINE, RACED = "#c0392b", "#888888", "#34495e", "#cccccc"


def draw(
    name: str, report: Mapping[str, Any], candidates: Sequence[Candidate], front: Sequence[Candidate], to: Path
) -> Path | None:
    """Write a PNG, and return its path; None without matplotlib (the extra `plots`)."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    dots = _search(left, report, candidates, front)
    last = max((candidate.generation for candidate in candidates), default=0)
    figure.colorbar(dots, ax=left, label="generation", ticks=range(0, last + 1, max(1, last // 5)))
    _test(right, report)
    figure.suptitle(name)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to)
    return to


def _search(
    axes: Axes, report: Mapping[str, Any], candidates: Sequence[Candidate], front: Sequence[Candidate]
) -> PathCollection:
    """Candidates coloured by generation, what was raced below its bound, the front, and the chosen one."""
    completed = [candidate for candidate in candidates if candidate.accuracy is not None]
    if raced := [candidate for candidate in candidates if candidate.accuracy is None]:
        axes.scatter(
            [candidate.params / 1000 for candidate in raced],
            [_percent(candidate.bound) for candidate in raced],
            marker=7,  # a caret whose tip is the place: at most so much
            c=RACED,
            s=12,
            linewidths=0,
            label=f"raced ({len(raced):,}), at most",
        )
    axes.step(
        [candidate.params / 1000 for candidate in front],
        [_percent(candidate.accuracy) for candidate in front],
        where="post",
        color=FRONT,
        linewidth=1.2,
        label="front",
    )
    dots = axes.scatter(
        [candidate.params / 1000 for candidate in completed],
        [_percent(candidate.accuracy) for candidate in completed],
        c=[candidate.generation for candidate in completed],
        cmap="viridis_r",
        s=14,
        alpha=0.8,
        linewidths=0,
        label=f"candidates ({len(completed):,})",
    )
    place = report["params"] / 1000, _percent(report["val_accuracy"])
    axes.plot(*place, "*", color=CHOSEN, markersize=15, markeredgecolor="white", label="searched subnet")
    axes.set(xlabel="adapted parameters (thousands)", ylabel="validation accuracy (%)", title="search")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)
    return dots


def _test(axes: Axes, report: Mapping[str, Any]) -> None:
    """Test accuracy of the searched subnet and of the baselines, with 95% intervals."""
    rows = [("searched subnet", report["params"], report["test_accuracy"], CHOSEN)]
    if again := report.get("refit"):
        rows.append(("searched subnet, refitted", report["params"], again["test_accuracy"], CHOSEN))
    baselines = sorted(report["baselines"].items(), key=lambda item: -item[1]["test_accuracy"])
    rows += [(key.replace("_", " "), row["params"], row["test_accuracy"], BASELINE) for key, row in baselines]
    rows.reverse()  # the first on top
    for height, (title, _, accuracy, colour) in enumerate(rows):
        low, high = wilson(accuracy, report["test_examples"])
        if title != "random subnet":  # a mean over models
            axes.plot([100 * low, 100 * high], [height, height], color=colour, linewidth=2, alpha=0.5)
        axes.plot(100 * accuracy, height, "o", color=colour)
        place = (100 * accuracy, height)
        axes.annotate(f"{accuracy:.1%}", place, (0, 7), textcoords="offset points", ha="center", fontsize=9)
    names = [f"{title}\n{params / 1000:,.0f} k parameters" for title, params, _, _ in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set(ylim=(-0.5, len(rows) - 0.4), xlabel="test accuracy (%), 95% interval", title="test, opened once")
    axes.grid(alpha=0.25, axis="x")


def _percent(accuracy: float | None) -> float:
    return 100 * (accuracy or 0.0)
