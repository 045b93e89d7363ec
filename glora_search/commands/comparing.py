"""compare."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glora_search.commands.again import options
from glora_search.comparison import chart, overview, spectrum, table
from glora_search.comparison.deployed import deployed_rows, flat
from glora_search.comparison.engine import compare
from glora_search.comparison.outcome import Compared
from glora_search.comparison.standing import rows
from glora_search.comparison.suites import Suite, chosen
from glora_search.control import Cancelled, Paused
from glora_search.display import Display, terminal
from glora_search.exits import INTERRUPTED, leave, terminate_as_interrupt
from glora_search.output import console, write_rows
from glora_search.places import Places
from glora_search.settings import read_config

Row = Mapping[str, Any]
FLAT = ("csv", "parquet")
COLUMNS = ("method", "params", "val_accuracy", "test_accuracy", "test_std", "train_seconds", "search_seconds")


def run(
    config: Path, count: int, first: int, methods: str, overrides: Sequence[str], db: str, runs: Path, wanted: str
) -> None:
    """Carry a comparison to its end, from wherever it stands, and write its rows to stdout."""
    (suite, names), settings, places = chosen(methods), read_config(config, overrides), Places(runs)
    terminate_as_interrupt()
    display = terminal(sys.stderr)
    try:
        found = compare(settings, names, range(first, first + count), db, places, display, suite=suite)
    except (Paused, Cancelled, KeyboardInterrupt) as ended:
        again = _again(config, count, first, methods, overrides) + options(db, runs)
        mended = f"{ended.reason}\n" if isinstance(ended, Paused) and ended.reason else ""
        leave(f"{mended}Interrupted; what was finished is kept. Go on with:\n  {again}", INTERRUPTED)
    lines = deployed_rows(found, suite) if suite.deployed else rows(found)
    picture = _picture(settings.name, lines, places, display, suite)
    if wanted == "table":
        _show(settings.name, found, lines, suite, picture)
    else:
        write_rows(flat(lines) if suite.deployed and wanted in FLAT else lines, COLUMNS, wanted)


def _show(name: str, found: Compared, lines: Sequence[Row], suite: Suite, picture: Path | None) -> None:
    """The table, the notes below it and where the picture is."""
    screen = console()
    screen.print(overview.table(name, lines, suite) if suite.deployed else table.table(name, lines))
    notes = overview.notes(found, lines, suite) if suite.deployed else table.notes(found, lines)
    for note in (*notes, *([f"picture: {picture}"] if picture else [])):
        screen.print(note, highlight=False, markup=False, soft_wrap=True)


def _picture(name: str, lines: Sequence[Row], places: Places, display: Display, suite: Suite) -> Path | None:
    """Drawn if it can be: what goes wrong with fonts or disks must not cost a person the table."""
    draw = spectrum.draw if suite.deployed else chart.draw
    try:
        return draw(name, lines, places.comparison(name, suite.kind) / "comparison.png")
    except Exception as error:
        display.note(f"The picture could not be drawn: {error}")
        return None


def _again(config: Path, count: int, first: int, methods: str, overrides: Sequence[str]) -> str:
    """The command that was typed, as far as it says what is compared."""
    words = ["glora-search", "compare", str(config), "--seeds", str(count), "--first-seed", str(first)]
    words += [] if methods == "default" else ["--methods", methods]
    return shlex.join([*words, *(word for override in overrides for word in ("--set", override))])
