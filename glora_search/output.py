"""Rows on stdout, in the format that was asked for."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from supernet.errors import BadInput

Rows = Sequence[Mapping[str, Any]]


def write_rows(rows: Rows, columns: Sequence[str], chosen: str, title: str = "") -> None:
    """A table shows `columns`; the other formats carry every key of the rows."""
    match chosen:
        case "table":
            _table(rows, columns, title)
        case "json":
            print(json.dumps([dict(row) for row in rows], indent=2, default=str))
        case "jsonl":
            for row in rows:
                print(json.dumps(dict(row), default=str))
        case "csv":
            _csv(rows, columns)
        case "parquet":
            _parquet(rows)


def write_value(value: Mapping[str, Any]) -> None:
    """One object as JSON."""
    print(json.dumps(dict(value), indent=2, default=str))


def shown(value: Any) -> str:
    """A cell of a table: short, and a dash for what is unknown."""
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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left")
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=column in ("id", "params"))
    for row in rows:
        table.add_row(*(Text(shown(row.get(column))) for column in columns))
    Console().print(table)


def _csv(rows: Rows, columns: Sequence[str]) -> None:
    names = list(rows[0]) if rows else list(columns)
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _flat(row[name]) for name in names} for row in rows)


def _parquet(rows: Rows) -> None:
    import pyarrow
    import pyarrow.parquet

    if sys.stdout.isatty():
        raise BadInput("Parquet is binary: send it to a file, as in `--format parquet > candidates.parquet`.")
    table = pyarrow.Table.from_pylist([dict(row) for row in rows])
    pyarrow.parquet.write_table(table, sys.stdout.buffer)


def _flat(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value
