"""explain: what a search found, from what the database knows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from db.records import Candidate
from db.store import open_store
from glora_search.anatomy.costs import Costs, costs
from glora_search.anatomy.deviations import LEVELS, SIGNIFICANT
from glora_search.anatomy.heatmaps import draw
from glora_search.anatomy.importance import against, importance
from glora_search.anatomy.layers import Layer, layers
from glora_search.anatomy.survivors import Survivors, survivors
from glora_search.output import write_rows
from glora_search.places import Places

SHOWN = 12  # genes of the table, the farthest from chance
TESTS = ("what", "form", "draw", "top", "top_p", "top_adjusted", "front", "front_p", "front_adjusted")


def explain(name: str, top: int, by: str, db: str, runs: Path, chosen: str) -> None:
    """Print which genes matter and where the parameters went, and draw it."""
    with open_store(db, create=False) as store:
        found = survivors(store, name, top)
    known = costs(found.genes, found.candidates)
    if by == "gene":
        _write_tests(found, chosen)
    if by != "gene" or chosen == "table":
        _write_layers(found, known, "kind" if by == "gene" else by, chosen)
    _picture(found, known, Places(runs).anatomy(name))


def _write_tests(found: Survivors, chosen: str) -> None:
    rows = importance(found)
    if chosen != "table":
        write_rows(rows, TESTS, chosen)
        return
    print(against(found))
    for level in LEVELS:
        some = sorted((row for row in rows if row["level"] == level), key=_farthest)
        write_rows(some[:SHOWN], TESTS, chosen, _title(level, some))


def _farthest(row: dict[str, Any]) -> tuple[float, float]:
    return min(row["top_p"], row["front_p"]), -abs(row["top"] - row["draw"])


def _title(level: str, rows: Sequence[dict[str, Any]]) -> str:
    top, front = (sum(row[f"{group}_adjusted"] < SIGNIFICANT for row in rows) for group in ("top", "front"))
    few = f" (the {SHOWN} farthest from chance)" if len(rows) > SHOWN else ""
    return f"by {level}{few}: of {len(rows)} shares chance does not explain {top} of the best and {front} of the front"


def _write_layers(found: Survivors, known: Costs | None, by: str, chosen: str) -> None:
    rows = [row for group, members in found.groups.items() for row in _layers(found, members, known, by, group, chosen)]
    columns = [name for name in rows[0] if name != {"kind": "depth", "depth": "kind"}.get(by)]
    few = "" if known else "; what forms cost cannot be told from so few candidates"
    write_rows(rows, columns, chosen, f"by {by}: mean parameters of a layer, and the most frequent forms{few}")


def _layers(
    found: Survivors, members: Sequence[Candidate], known: Costs | None, by: str, group: str, chosen: str
) -> list[dict[str, Any]]:
    """A mapping of shares for programs, the most frequent form for people."""
    supports = sorted({support for layer in layers(found.genes, members, known) for support in layer.shares})
    return [
        {"group": group, "depth": layer.depth, "kind": layer.kind, "parameters": _rounded(layer, chosen)}
        | {each: _most(layer, each) if chosen == "table" else layer.shares.get(each) for each in supports}
        for layer in layers(found.genes, members, known, by)
    ]


def _rounded(layer: Layer, chosen: str) -> float | int | None:
    return layer.parameters if layer.parameters is None or chosen != "table" else round(layer.parameters)


def _most(layer: Layer, support: str) -> str:
    """`lora4 70%`."""
    most = layer.most(support)
    return f"{most[0]} {most[1]:.0%}" if most else "-"


def _picture(found: Survivors, known: Costs | None, to: Path) -> None:
    """Drawn if it can be; a note says where it is, or why it is not."""
    titles = f"the {len(found.top)} best candidates", f"the {len(found.front)} candidates on the front"
    drawn = [layers(found.genes, members, known) for members in found.groups.values()]
    try:
        path = draw(found.name, dict(zip(titles, drawn, strict=True)), to)
    except Exception as error:  # fonts, disks: the figures above stand without it
        print(f"The picture could not be drawn: {error}", file=sys.stderr)
        return
    said = (
        f"picture: {path}" if path else "No picture: matplotlib is not installed (pip install 'glora-search[plots]')."
    )
    print(said, file=sys.stderr)
