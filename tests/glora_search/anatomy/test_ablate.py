"""`ablate`: what a gene is worth is what the same subnet loses without it, on the same images and shared weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from glora_search.anatomy.ablation import inside, variants
from glora_search.inputs import prepare
from glora_search.places import Places
from glora_search.reopening import reopened
from supernet.chains import Chain
from supernet.errors import BadInput
from supernet.evaluation import Scorer, ScoringTask
from supernet.numerics import from_dict
from supernet.space import Form, Gene, Space
from supernet.spaces import alphabets

Command = Callable[..., Any]


@pytest.fixture
def asked(command: Command, in_finished: Any) -> Callable[..., Any]:
    def asked(*options: object) -> Any:
        return command("ablate", "tiny", *options, "--db", in_finished.db)

    return asked


@pytest.fixture
def chosen(in_finished: Any) -> dict[str, Any]:
    """The report of the finished campaign."""
    with in_finished.store() as store:
        return dict(store.campaign("tiny").report)


def test_each_gene_that_is_not_none_is_taken_out_alone(small: Space) -> None:
    genes = [{"name": name, "alphabet": alphabet} for name, alphabet in alphabets(small)]
    assert [(each.gene, each.form, each.genome) for each in variants(genes, "v4v")] == [
        ("a.A", "lora4", "vnv"),
        ("b.A", "vector", "v4n"),
    ], "a.E has no `none`"
    assert variants(genes, "v4n") == variants(genes, "v4n", "a.*")
    every = variants(genes, "v4v", every=True)
    assert [(each.gene, each.instead) for each in every] == [
        ("a.E", "scalar"), ("a.A", "vector"), ("a.A", "none"), ("b.A", "lora4"), ("b.A", "none"), ("b.A", "scalar"),
    ]  # fmt: skip
    with pytest.raises(BadInput, match=r"matches 'c\.\*'"):
        variants(genes, "v4v", "c.*")


def test_a_gene_of_a_third_is_found_by_the_name_that_is_printed() -> None:
    names = ("blocks.3.attn.qkv[q].lora", "blocks.3.attn.qkv[v].lora", "blocks.3.attn.qkvq.lora")
    genes: list[Any] = [{"name": name, "alphabet": {"4": "lora4", ".": "none"}} for name in names]
    for pattern in (names[0], "*[q].*"):
        assert [each.gene for each in variants(genes, "444", pattern)] == [names[0]]


def test_a_change_that_breaks_a_chain_is_not_asked_for(small: Space) -> None:
    forms = (*small.genes[1].forms, Form("vector2", "w", 2))
    space = Space(tuple(Gene(f"{block}.A", forms) for block in range(4)), (Chain((0, 1, 2, 3), (0, 3, 4)),))
    genes = [{"name": name, "alphabet": alphabet} for name, alphabet in alphabets(space)]
    assert [each.genome for each in inside(space, variants(genes, "v4vw"), "*")] == ["v4vn"], "the last may go alone"
    changed = inside(space, variants(genes, "v4vn", every=True), "*")
    assert [each.genome for each in changed] == ["44vn", "w4vn", "vvvn", "vwvn", "v44n", "v4wn"]
    with pytest.raises(BadInput, match=r"stand together in the first of their sites.*--forms tries"):
        inside(space, variants(genes, "v4vn"), "*")


def test_the_figures_are_those_of_the_subnet_without_the_gene(
    asked: Callable[..., Any], in_finished: Any, chosen: dict[str, Any]
) -> None:
    rows = json.loads(asked("--gene", "*.attn.qkv.*", "--format", "json").out)
    with in_finished.store() as store:
        campaign = store.campaign("tiny")
    inputs, trained = reopened(campaign, Places(in_finished.folder / "runs"))
    numerics = from_dict(dict(campaign.numerics))
    scorer = Scorer(ScoringTask(inputs.backbone, inputs.settings.space, trained, inputs.data.val, numerics))
    forms = inputs.space.decode(chosen["genome"])
    for row in rows[:3] + rows[-3:]:
        without = inputs.space.encode(forms | {row["gene"]: "none"})
        found = scorer.score(without)
        assert (row["accuracy_without"], row["loss_without"]) == (found.accuracy, found.loss)
        assert row["saved"] == chosen["params"] - inputs.space.parameters(without)
        assert row["form"] == forms[row["gene"]] != "none"


def test_rows_are_sorted_by_what_is_missed_most_and_each_gene_has_one(
    asked: Callable[..., Any], in_finished: Any, chosen: dict[str, Any]
) -> None:
    rows = json.loads(asked("--format", "json").out)
    changes = [row["change"] for row in rows]
    assert changes == sorted(changes, reverse=True)
    assert all(row["change"] == row["loss_without"] - row["loss"] for row in rows)
    assert all(0 <= row["p"] <= 1 for row in rows)
    used = {
        name for name, form in prepare(in_finished.settings()).space.decode(chosen["genome"]).items() if form != "none"
    }
    assert len(rows) == len(used)
    assert {row["gene"] for row in rows} == used


def test_the_campaign_stays_as_it_is_and_nothing_is_scored_twice(
    asked: Callable[..., Any], in_finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = in_finished.found()
    once = asked("--gene", "*.B", "--format", "json").out

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr(Scorer, "score", refuse)
    assert asked("--gene", "*.B", "--format", "json").out == once
    assert in_finished.found() == before


def test_another_candidate_and_every_form_may_be_asked_for(asked: Callable[..., Any], in_finished: Any) -> None:
    few = json.loads(asked(0, "--gene", "blocks.0.mlp.fc1.*", "--format", "json").out)
    many = json.loads(asked(0, "--gene", "blocks.0.mlp.fc1.*", "--forms", "--format", "json").out)
    assert {(row["gene"], row["instead"]) for row in few} < {(row["gene"], row["instead"]) for row in many}
    accuracy = in_finished.found()[0][7]
    assert {row["accuracy"] for row in many} == {accuracy}


def test_the_table_says_what_it_comes_down_to(asked: Callable[..., Any]) -> None:
    said = asked("--gene", "*.B")
    assert "as it is" in said.out
    assert "raise the loss" in said.out
    assert "24 validation images" in said.out


def test_a_pattern_without_a_match_is_answered_with_a_sentence(asked: Callable[..., Any]) -> None:
    said = asked("--gene", "block.*")
    assert (said.code, said.out) == (2, "")
    assert "names such as blocks.0.attn.qkv.A" in said.err
