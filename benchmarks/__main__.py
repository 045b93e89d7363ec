"""Run the experiments and write what they find: results.json, the table in README.md, and docs/images/costs.png."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from benchmarks.figures import HEADLINES, Figure
from benchmarks.machine import machine, sentence
from benchmarks.page import IMAGES, lines, write_page, write_results
from benchmarks.plots import draw_costs

# module -> title; its function of the same name takes the work folder and returns figures.
# `campaign` leaves its supernet in the work folder, where those after it find it.
EXPERIMENTS = {
    "candidate": "A candidate, at two image sizes",
    "step": "A training step, at two image sizes",
    "export": "The exported model",
    "campaign": "The demo's whole campaign",
    "racing": "Racing, in whole searches of 1,050 candidates",
    "scaling": "More workers",
    "startup": "Start-up",
    "growth": "How a candidate's cost grows",
}
HERE = Path(__file__).parent
COSTS = IMAGES / "costs.png"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"which: {' '.join(EXPERIMENTS)}")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"), help="a folder that keeps a supernet")
    parser.add_argument("--to", type=Path, default=HERE, help="the folder of README.md and results.json")
    chosen = parser.parse_args()
    there = machine()
    print(sentence(there), flush=True)
    measured: dict[str, list[Figure]] = {}
    for name, title in EXPERIMENTS.items():
        if chosen.only and name not in chosen.only:
            continue
        measured[title] = run(name, chosen.work.absolute())
        print("\n".join(lines(title, measured[title])), flush=True)
        results = write_results(chosen.to / "results.json", measured[title], there)
        draw_costs({key: results[key] for key in HEADLINES if key in results} | results["others"], COSTS)
        write_page(chosen.to / "README.md", EXPERIMENTS.values(), measured, there)  # each time, in case it is stopped
    if missed := [figure.key for figures in measured.values() for figure in figures if not figure.met]:
        sys.exit(f"Not met: {', '.join(missed)}.")


def run(name: str, work: Path) -> list[Figure]:
    """The figures of one experiment, with how long it took said on stderr."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    work.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    figures: list[Figure] = getattr(importlib.import_module(f"benchmarks.{name}"), name)(work)
    print(f"  {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    main()
