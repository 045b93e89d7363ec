"""Rows on stdout, in the format that was asked for."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any

from supernet.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

Rows = Sequence[Mapping[str, Any]]
IDS = ("id", "best_id")
WHOLE = ("id", "params")  # columns that stay on one line on a narrow terminal
UNLIMITED = 100_000  # characters


def write_rows(
    rows: Rows, columns: Sequence[str], chosen: str, title: str = "", every: Sequence[str] | None = None
) -> None:
    """A table shows `columns`; the other formats carry every key of the rows, and null where a row lacks one.

    Where there are no rows to tell, `every` names the keys; without it they are the table's.
    """
    names = list(dict.fromkeys(name for row in rows for name in row)) or [*(every or columns)]
    rows = [{name: row.get(name) for name in names} for row in rows]
    match chosen:
        case "table":
            _table(rows, columns, title)
        case "json":
            print(json.dumps([dict(row) for row in rows], indent=2, default=str))
        case "jsonl":
            for row in rows:
                print(json.dumps(dict(row), default=str))
        case "csv":
            _csv(rows, names)
        case "parquet":
            _parquet(rows, names)


def write_value(value: Mapping[str, Any]) -> None:
    """One object as JSON."""
    print(json.dumps(dict(value), indent=2, default=str))


def console() -> Console:
    """Stdout for tables: as wide as they are where it is no terminal, so that nothing is cut off in a pipe."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # `civil` knows what to do; rich would end with exit code 1

    return Screen(width=None if sys.stdout.isatty() else UNLIMITED)


def shown(value: Any, name: str = "") -> str:
    """A cell of a table: short, a dash for what is unknown, and ids as they are typed."""
    if name in IDS and value is not None:
        return str(value)
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def _table(rows: Rows, columns: Sequence[str], title: str) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left")
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        cells = [shown(row.get(column), column) for row in rows]
        least = max(map(len, cells), default=0) if column in WHOLE else None
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", min_width=least)
    for row in rows:
        table.add_row(*(Text(shown(row.get(column), column)) for column in columns))
    console().print(table)


def _csv(rows: Rows, names: Sequence[str]) -> None:
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _flat(row[name]) for name in names} for row in rows)


def _parquet(rows: Rows, names: Sequence[str]) -> None:
    """A column of values of several kinds, which parquet does not have, is one of texts: those of JSON."""
    import pyarrow
    import pyarrow.parquet

    if sys.stdout.isatty():
        raise BadInput("Parquet is binary: send it to a file, as in `--format parquet > candidates.parquet`.")
    columns = {name: _alike([row[name] for row in rows]) for name in names}
    pyarrow.parquet.write_table(pyarrow.table(columns), sys.stdout.buffer)


def _alike(values: Sequence[Any]) -> list[Any]:
    """The values if they are of one kind, null apart, else as texts."""
    kinds = {_kind(value) for value in values if value is not None}
    if len(kinds) < 2:
        return list(values)
    return [value if value is None or isinstance(value, str) else json.dumps(value, default=str) for value in values]


def _kind(value: Any) -> type:
    """All numbers are of one."""
    return Number if isinstance(value, Number) and not isinstance(value, bool) else type(value)


def _flat(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value
