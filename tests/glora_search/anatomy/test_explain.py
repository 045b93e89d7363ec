"""`explain`, as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glora_search.anatomy.survivors import method_of

Command = Callable[..., Any]


@pytest.fixture
def asked(command: Command, in_finished: Any) -> Callable[..., Any]:
    def asked(*options: object) -> Any:
        """`explain` of the finished campaign's three best."""
        return command("explain", "tiny", "--top", 3, "--db", in_finished.db, *options)

    return asked


def test_it_says_what_it_compares_with_and_draws_a_picture(asked: Callable[..., Any], in_finished: Any) -> None:
    said = asked()
    assert said.code == 0
    assert "the 3 best of 18 candidates" in said.out
    assert "drawn at random" in said.out
    for title in ("by support", "by layer", "by gene", "by kind"):
        assert title in said.out
    assert said.err == "picture: runs/tiny/anatomy.png\n"
    assert (in_finished.folder / "runs/tiny/anatomy.png").read_bytes().startswith(b"\x89PNG")


def test_as_json_every_gene_and_form_has_a_row(asked: Callable[..., Any], in_finished: Any) -> None:
    rows = json.loads(asked("--format", "json").out)
    with in_finished.store() as store:
        genes = store.campaign("tiny").genes
    pairs = {(gene["name"], form) for gene in genes for form in gene["alphabet"].values()}
    assert {(row["what"], row["form"]) for row in rows if row["level"] == "gene"} == pairs
    for row in rows:
        assert 0 < row["draw"] < 1
        for group in ("top", "front"):
            assert 0 <= row[f"{group}_p"] <= row[f"{group}_adjusted"] <= 1


def test_it_knows_the_method_that_draws_are_near(in_finished: Any) -> None:
    """From what an evolution began with; from the report where it did not, but drew near it all the same."""
    with in_finished.store() as store:
        campaign, candidates = store.campaign("tiny"), store.candidates("tiny")
    (begun,) = [each.genome for each in candidates if each.operator == "fixed"]
    assert method_of(campaign, candidates) == begun == campaign.report["method"]["genome"]
    drawn = [each for each in candidates if each.operator == "random"]
    assert method_of(campaign, drawn) == begun
    assert method_of(replace(campaign, report=None), drawn) is None
    uniform = campaign.config | {"search": campaign.config["search"] | {"first": "uniform"}}
    assert method_of(replace(campaign, config=uniform), drawn) is None


@pytest.mark.parametrize(("by", "count"), [("layer", 48), ("kind", 8), ("depth", 12)])
def test_layers_are_listed_for_the_best_and_for_the_front(asked: Callable[..., Any], by: str, count: int) -> None:
    rows = json.loads(asked("--by", by, "--format", "json").out)
    assert len(rows) == count
    assert {row["group"] for row in rows} == {"top", "front"}
    for row in rows:
        assert sum(row["A"].values()) == pytest.approx(1)


@pytest.mark.parametrize(("by", "chosen"), [("layer", "table"), ("gene", "csv"), ("layer", "jsonl")])
def test_it_writes_in_every_format(asked: Callable[..., Any], by: str, chosen: str) -> None:
    said = asked("--by", by, "--format", chosen)
    assert said.code == 0
    assert said.out.strip()


def test_it_changes_nothing_in_the_database(asked: Callable[..., Any], in_finished: Any) -> None:
    def all_of_it() -> Any:
        with in_finished.store() as store:
            return store.campaigns(), store.candidates("tiny")

    before = all_of_it()
    asked()
    assert all_of_it() == before


def test_more_candidates_than_there_are_is_answered_with_a_sentence(command: Command, in_finished: Any) -> None:
    said = command("explain", "tiny", "--top", 18, "--db", in_finished.db)
    assert (said.code, said.out) == (2, "")
    assert "has 18 candidates that ended" in said.err
    assert "smaller --top" in said.err


@pytest.mark.parametrize("arguments", [("explain", "tiny"), ("ablate", "tiny")], ids=" ".join)
def test_a_search_that_has_not_begun_is_answered_with_a_sentence(
    command: Command, workshop: Any, watching: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    from glora_search.campaign import Paused

    with pytest.raises(Paused):
        workshop.launch(watching(interrupt=("train supernet", 1)))
    said = command(*arguments, "--db", workshop.db)
    assert (said.code, said.out) == (2, "")
    assert "The search of 'tiny' has not begun" in said.err


def test_a_picture_that_cannot_be_written_costs_no_figures(asked: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    said = asked("--runs", tmp_path / "runs", "--format", "json")
    assert said.code == 0
    assert json.loads(said.out)
    assert "could not be drawn" in said.err


def test_it_does_not_wait_for_torch(in_finished: Any) -> None:
    script = (
        "import sys; from glora_search.cli import app\n"
        f"try: app({['explain', 'tiny', '--top', '3', '--db', in_finished.db]!r})\n"
        "except SystemExit: pass\n"
        "sys.exit(', '.join({'torch', 'ray', 'timm', 'deap'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
