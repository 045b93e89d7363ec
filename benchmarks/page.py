"""What was found, on a page for people and in results.json; what was not measured anew stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.figures import HEADLINES, Figure
from benchmarks.machine import sentence

BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
IMAGES, PICTURES = Path(__file__).parent.parent / "docs" / "images", ("costs", "growth")
HEAD = ["| what | must be | found | middle half of the rounds |", "|---|---|---|---|"]


def lines(title: str, figures: Iterable[Figure]) -> list[str]:
    """For a terminal."""
    return [
        title,
        *(f"  {'ok ' if each.met else 'NOT'} {found(each):>12}  ({each.bar})  {each.what}" for each in figures),
    ]


def write_page(
    file: Path, titles: Iterable[str], measured: Mapping[str, Iterable[Figure]], machine: dict[str, str]
) -> None:
    """Replace the sections of the table that were measured anew; the others keep their place and the date of theirs."""
    before, rest = file.read_text(encoding="utf-8").split(BEGIN)
    table, after = rest.split(END)
    sections = kept(table)
    for title, figures in measured.items():
        sections[title] = [f"| **{title}** | | | {machine['date']} |", *map(row, figures)]
    rows = [line for title in titles if title in sections for line in sections[title]]
    pictures = [f"\n![{name}](../docs/images/{name}.png)" for name in PICTURES if (IMAGES / f"{name}.png").exists()]
    body = "\n".join([sentence(machine), "", *HEAD, *rows, *pictures])
    file.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def kept(table: str) -> dict[str, list[str]]:
    """The rows of each section as they stand, its title's among them."""
    sections: dict[str, list[str]] = {}
    for line in table.splitlines():
        if title := re.match(r"\| \*\*(.+?)\*\* \| \| \| .* \|$", line):
            sections[title[1]] = [line]
        elif sections and line.startswith("|"):
            sections[list(sections)[-1]].append(line)
    return sections


def row(figure: Figure) -> str:
    """A figure as a line of the table."""
    spread = "" if figure.spread is None else f"{number(figure.spread[0])} to {number(figure.spread[1])}"
    missed = "" if figure.met else " **(not met)**"
    return f"| {figure.what} | {figure.bar} | {found(figure)}{missed} | {spread} |"


def found(figure: Figure) -> str:
    return f"{number(figure.value)} {figure.unit}".rstrip()


def number(value: float) -> str:
    """Two digits behind the point, none of large numbers."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def write_results(file: Path, figures: Iterable[Figure], machine: Mapping[str, str]) -> dict[str, Any]:
    """The headlines at the top, all else under `others`, and the machine; what the file has already is kept."""
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    others = results.get("others", {})
    for figure in figures:
        (results if figure.key in HEADLINES else others)[figure.key] = round(figure.value, 4)
    headlines = {key: results[key] for key in HEADLINES if key in results}
    results = headlines | {"others": others, "machine": dict(machine)}
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results
