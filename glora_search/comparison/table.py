"""A finished comparison on the terminal: the table, which rows are not beaten, and under what protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from glora_search.comparison.methods import OURS
from glora_search.comparison.outcome import Found, Outcome
from glora_search.comparison.standing import MARGIN, beaten

Row = Mapping[str, Any]


def table(name: str, rows: Sequence[Row]) -> Table:
    """One line for each method, and another where it was trained longer too."""
    found = Table(title=f"{name}: accuracy on val and test", title_justify="left")
    found.add_column("method")
    test = "test" if rows[0]["test_std"] is None else "test ± std"
    for heading in ("parameters", "epochs", "val", test, "ours - row", "95% interval", "train", "search"):
        found.add_column(heading, justify="right")
    ours = next(row for row in rows if row["method"] == OURS)
    whole = ours["train_seconds"] + ours["search_seconds"]
    for row in rows:
        if row is ours:
            found.add_section()
        style = "bold" if row is ours else None
        found.add_row(row["method"], f"{row['params']:,}", *_cells(row, whole, row["search_seconds"]), style=style)
        if row["longer"] is not None:
            found.add_row(f"{row['method']}, longer", "", *_cells(row["longer"], whole, 0.0))
    return found


def notes(found: Found, rows: Sequence[Row]) -> Iterator[str]:
    """A sentence for each row that is not beaten, and the protocol."""
    for row in rows:
        for title, line in ((row["method"], row), (f"{row['method']} (longer)", row["longer"])):
            if line is not None and line["difference"] is not None and not beaten(line):
                yield f"not beaten: {title}, difference {_points(line['difference'])} points, 95% {_range(line)}"
    yield from _protocol(found)


def _protocol(found: Found) -> Iterator[str]:
    ours = found[OURS]
    one = ours[0]
    sizes = ", ".join(f"{count:,} {name}" for name, count in one.examples.items())
    yield f"seeds {listed([outcome.seed for outcome in ours])}; {splits(ours)} ({sizes})"
    yield (
        f"{one.scores.epochs} epochs; searches of {one.candidates:,} candidates of at most {one.limit:,} parameters; "
        "longer: as many epochs as take what ours takes, training and search"
    )
    yield (
        "times are shares of ours' training and search; test was opened once for each row and seed, after its training "
        f"and search; beaten: ours is better on average, and its lower bound is above {_points(-MARGIN)} points"
    )


def splits(ours: Sequence[Outcome]) -> str:
    """Whether the seeds of a row share their splits."""
    if len(ours) == 1:
        return "one split"
    fixed = {name for name in ("train", "val", "test") if len({outcome.splits[name] for outcome in ours}) == 1}
    if not fixed:
        return "fresh splits for each seed"
    if fixed == {"train", "val", "test"}:
        return "the source's own splits: only training and search depend on the seed"
    return f"the source's own {' and '.join(sorted(fixed))} split for all seeds, the rest drawn for each"


def _cells(line: Row, whole: float, search: float) -> tuple[str, ...]:
    compared = line["difference"] is not None
    return (
        f"{line['epochs']:,}",
        f"{line['val_accuracy']:.2%}",
        spread(line),
        _points(line["difference"]) if compared else "-",
        _range(line) if compared else "-",
        f"{line['train_seconds'] / whole:.2f}",
        f"{search / whole:.2f}" if search else "-",
    )


def spread(line: Row) -> str:
    """Test accuracy, and over several seeds its standard deviation."""
    std = "" if line["test_std"] is None else f" ± {100 * line['test_std']:.2f}"
    return f"{line['test_accuracy']:.2%}{std}"


def _points(value: float) -> str:
    """A difference of accuracies in percentage points."""
    return f"{100 * value:+.1f}"


def _range(line: Row) -> str:
    low, high = line["interval"]
    return f"{_points(low)} to {_points(high)}"


def listed(seeds: Sequence[int]) -> str:
    """As a range where they are one."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
