"""The suite `all` on the terminal: the table, what it may not claim, what is special to a row, and the protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from glora_search.comparison.deployed import MANY, is_smoke
from glora_search.comparison.methods import Fixed
from glora_search.comparison.outcome import Compared
from glora_search.comparison.suites import Suite
from glora_search.comparison.table import listed, splits, spread

Row = Mapping[str, Any]


def table(name: str, rows: Sequence[Row], suite: Suite) -> Table:
    """One line for each method; one that is left out has dashes."""
    found = Table(title=f"{name}: every method, trained alike", title_justify="left")
    found.add_column("method")
    batches = [entry["batch"] for entry in next(row for row in rows if row["left_out"] is None)["latency"]]
    latencies = [f"latency, batch {batch}" for batch in batches]
    for heading in ("parameters", "val", "test", "95% interval", "train", "mergeable", *latencies):
        found.add_column(heading, justify="left" if heading == "mergeable" else "right")
    base = next(row for row in rows if row["method"] == suite.against)
    whole = base["train_seconds"] + base["search_seconds"]
    for row in rows:
        cells = _cells(row, whole) if row["left_out"] is None else ["-"] * (len(found.columns) - 1)
        found.add_row(row["method"], *cells)
    return found


def notes(found: Compared, rows: Sequence[Row], suite: Suite) -> Iterator[str]:
    """First what may not be concluded."""
    base = found[suite.against]
    epochs = base[0].scores.epochs
    if is_smoke(found, suite):
        seeds = f"{len(base)} seed{'s' if len(base) > 1 else ''}"
        yield (
            f"smoke run: {epochs} epochs, {seeds}. No ranking is claimed; that would take {MANY} epochs "
            "or more and at least 2 seeds"
        )
    for row in rows:
        if row["left_out"] is not None:
            yield f"left out: {row['method']}: {row['left_out']}"
    yield from _rates(rows, suite)
    yield from _protocol(found, suite)


def _rates(rows: Sequence[Row], suite: Suite) -> Iterator[str]:
    for name in (row["method"] for row in rows if row["left_out"] is None):
        method = suite.rows[name]
        if isinstance(method, Fixed) and method.rate != 1.0:
            yield f"{name}: {method.rate:g} times the config's learning rate, since {method.source}"


def _protocol(found: Compared, suite: Suite) -> Iterator[str]:
    base = found[suite.against]
    one = base[0]
    sizes = ", ".join(f"{count:,} {name}" for name, count in one.examples.items())
    yield f"seeds {listed([outcome.seed for outcome in base])}; {splits(base)} ({sizes})"
    searched = [found[name][0] for name in found if found[name][0].candidates]
    limit = "no limit of parameters" if one.limit is None else f"at most {one.limit:,} parameters"
    yield (
        f"{one.scores.epochs} epochs; {' and '.join(each.method for each in searched)} searched among "
        f"{one.candidates:,} candidates, {limit}; the other rows are one subnet, trained alone"
    )
    yield (
        f"train: share of {suite.against}'s training and search, a search behind the plus; test was opened once for "
        "each row and seed, after its training and search"
    )
    yield (
        "latency: a forward before merging -> after, as multiples of the plain backbone's, medians in turn, float32; "
        "mergeable: yes if nothing of the method is left beside the plain model's own layers, partly if some is"
    )


def _cells(row: Row, whole: float) -> list[str]:
    low, high = row["wilson"]
    search = f" + {row['search_seconds'] / whole:.2f}" if row["search_seconds"] else ""
    return [
        f"{row['params']:,}",
        f"{row['val_accuracy']:.2%}",
        spread(row),
        f"{100 * low:.1f}% to {100 * high:.1f}%",
        f"{row['train_seconds'] / whole:.2f}{search}",
        row["mergeable"],
        *(f"{entry['before']:.2f} -> {entry['after']:.2f}" for entry in row["latency"]),
    ]
