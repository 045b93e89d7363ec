"""Run the experiments and print what was found; with `--write FILE` put the table between the file's two marks."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from chaos.figures import Figure, unmet

# title -> module and function; each takes a folder of its own and returns figures
EXPERIMENTS = {
    "T1 The driver is killed at random and at every named point": "resume:killed",
    "T1a The driver is killed in the same way, without Ray": "resume:killed_in_process",
    "T1b The driver is killed while it trains": "resume:training",
    "T2 Workers are killed": "workers:deaths",
    "T3 Candidates hang": "workers:hangs",
    "T4 Memory runs out": "workers:out_of_memory",
    "T5 32 processes write, a reader polls (T8)": "database:transactions",
    "T6 Processes claim campaigns": "database:claims",
    "T7 A writer is killed": "database:writer_kills",
    "T10 One result for any number of workers": "workers:one_result_for_any_number_of_workers",
    "T11 A worker is thought dead and is not": "workers:false_death",
    "T17 100,000 candidates": "database:large",
    "T18 10,000 candidates that take no time": "overhead:overhead",
    "T19 Disks, databases and clocks fail": "trouble:trouble",
    "T19b Disks refuse the store": "database:full_disk",
    "T20 Signals": "signals:signals",
    "T21 Two campaigns share a database and a cluster": "shared:two_campaigns",
    "T22 PostgreSQL": "database:postgresql",
    "T22b The driver is killed, on PostgreSQL": "resume:killed_on_postgresql",
}
MET = {True: "", False: " **(not met)**"}
BEGIN, END = "<!-- figures: written by make chaos -->", "<!-- end of figures -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("only", nargs="*", help="which, by the beginning of their titles: T1 T5")
    parser.add_argument("--write", type=Path, help="a Markdown file that gets the table")
    parser.add_argument("--json", type=Path, help="a file that gets the figures as JSON")
    chosen = parser.parse_args()
    found: dict[str, list[Figure]] = {}
    for title, address in EXPERIMENTS.items():
        if chosen.only and title.split()[0] not in chosen.only:
            continue
        print(f"{title} ...", file=sys.stderr, flush=True)
        begin = time.monotonic()
        module, function = address.split(":")
        with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
            found[title] = getattr(importlib.import_module(f"chaos.{module}"), function)(Path(folder))
        print(f"  {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        print("\n".join(lines(title, found[title])), flush=True)
        if chosen.write:
            put(chosen.write, found)  # each time: what was found is kept if this is stopped
    if chosen.json:
        chosen.json.write_text(
            json.dumps({title: [vars(figure) for figure in figures] for title, figures in found.items()})
        )
    if missed := [figure for figures in found.values() for figure in unmet(figures)]:
        sys.exit(f"{len(missed)} figures are not met.")


def lines(title: str, figures: Iterable[Figure]) -> list[str]:
    """For a terminal."""
    return [
        title,
        *(f"  {'ok ' if each.met else 'NOT'} {each.found:>14}  ({each.bar})  {each.what}" for each in figures),
    ]


def put(file: Path, found: dict[str, list[Figure]]) -> None:
    """Replace the sections of the table between the marks that were measured anew."""
    before, rest = file.read_text(encoding="utf-8").split(BEGIN)
    table, after = rest.split(END)
    sections = kept(table)
    for title, figures in found.items():
        sections[title] = [f"| {each.what} | {each.bar} | {each.found}{MET[each.met]} |" for each in figures]
    rows = ["| what | must be | found |", "|---|---|---|"]
    for title in EXPERIMENTS:
        rows += [f"| **{title}** | | |", *sections[title]] if title in sections else []
    file.write_text(f"{before}{BEGIN}\n\n{machine()}\n\n" + "\n".join(rows) + f"\n\n{END}{after}", encoding="utf-8")


def kept(table: str) -> dict[str, list[str]]:
    """The rows of each section as they stand."""
    sections: dict[str, list[str]] = {}
    for row in table.splitlines():
        if found := re.fullmatch(r"\| \*\*(.+)\*\* \| \| \|", row):
            sections[found[1]] = []
        elif sections and row.startswith("|"):
            sections[list(sections)[-1]].append(row)
    return sections


def machine() -> str:
    """Where it was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"Measured on {cores} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}."


if __name__ == "__main__":
    main()
