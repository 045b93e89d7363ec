"""Rows on stdout: what is written is what can be read back."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from glora_search import output
from glora_search.output import shown, write_rows, write_value

ROWS: list[dict[str, Any]] = [
    {"id": 0, "params": 1_603_776, "accuracy": 0.5, "parents": [], "error": None, "name": 'a, "b"\nc'},
    {"id": 1049, "params": 0, "accuracy": None, "parents": [3, 12], "error": "x", "name": "ünï [bold]"},
]
COLUMNS = ("id", "params", "accuracy")


def test_json_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, COLUMNS, "json")
    assert json.loads(capsys.readouterr().out) == ROWS


def test_jsonl_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, COLUMNS, "jsonl")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_csv_is_read_back_with_lists_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, COLUMNS, "csv")
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in found] == [row["name"] for row in ROWS]
    assert [json.loads(row["parents"]) for row in found] == [[], [3, 12]]
    assert [row["accuracy"] for row in found] == ["0.5", ""]


class Bytes(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO())


def test_parquet_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    stdout = Bytes()
    monkeypatch.setattr(sys, "stdout", stdout)
    write_rows(ROWS, COLUMNS, "parquet")
    stdout.buffer.seek(0)
    assert parquet.read_table(stdout.buffer).to_pylist() == ROWS


@pytest.mark.parametrize("chosen", ["table", "json", "jsonl", "csv"])
def test_no_rows_are_no_error(capsys: pytest.CaptureFixture[str], chosen: str) -> None:
    write_rows([], COLUMNS, chosen)
    out = capsys.readouterr().out
    assert out.strip() in ("[]", "", "id,params,accuracy") or chosen == "table"


def test_a_row_that_lacks_a_key_has_null_there(capsys: pytest.CaptureFixture[str]) -> None:
    uneven = [{"site": "a", "A": "lora4"}, {"site": "b", "A": "none", "E": "vector"}]
    write_rows(uneven, ("site", "A", "E"), "csv")
    assert capsys.readouterr().out == "site,A,E\na,lora4,\nb,none,vector\n"
    write_rows(uneven, ("site", "A", "E"), "json")
    assert json.loads(capsys.readouterr().out)[0] == {"site": "a", "A": "lora4", "E": None}


def test_one_value_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    write_value({"a": {"b": [1, None]}})
    assert json.loads(capsys.readouterr().out) == {"a": {"b": [1, None]}}


@pytest.mark.parametrize(
    ("value", "cell"),
    [(None, "-"), (True, "yes"), (False, "no"), (0.25, "0.2500"), (1234567, "1,234,567"), (0, "0"), ("x", "x")],
)
def test_cells_are_short(value: Any, cell: str) -> None:
    assert shown(value) == cell


def test_an_id_is_shown_as_it_is_typed() -> None:
    assert shown(1049, "id") == shown(1049, "best_id") == "1049"


@pytest.mark.parametrize("columns", ["10", "40", "80"])
def test_a_table_that_is_piped_is_cut_nowhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    long = [{"id": 1049, "params": 1_603_776, "genome": "4vsn" * 60}]
    write_rows(long, ("id", "params", "genome"), "table")
    out = capsys.readouterr().out
    assert "1049" in out
    assert "1,603,776" in out
    assert "4vsn" * 60 in out
    assert "…" not in out


def test_a_narrow_terminal_truncates_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), width=44, force_terminal=True, no_color=True)
    monkeypatch.setattr(output, "console", lambda: screen)
    write_rows([row | {"operator": "crossover"} for row in ROWS], ("id", "operator", "status", "params"), "table")
    out = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "1049" in out
    assert "1,603,776" in out
    assert "…" not in out


def test_markup_in_a_cell_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, ("name",), "table")
    assert "ünï [bold]" in capsys.readouterr().out


def test_no_color_means_no_escape(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    table = Table("x")
    table.add_row("[bold red]y[/]")
    output.console().print(table)
    assert "\x1b" not in capsys.readouterr().out
