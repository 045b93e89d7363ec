"""A gene that decides is found, and a search in which no gene matters calls none important."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glora_search.anatomy.deviations import LEVELS, SIGNIFICANT, holm
from glora_search.anatomy.draws import draw_shares
from glora_search.anatomy.importance import against, importance
from supernet.chains import Chain
from supernet.draws import near
from supernet.methods import fixed_genome
from supernet.space import Form, Gene, Space

FORMS = (Form("ten", "A", 100), Form("five", "5", 50), Form("one", "1", 10), Form("none", ".", 0))
CHAINED = Space(  # two modules of 12 blocks, block by block
    tuple(Gene(f"blocks.{block}.{module}", FORMS) for block in range(12) for module in ("prompt", "lora")),
    tuple(Chain(tuple(range(first, 24, 2)), (0, 3, 6, 9, 12)) for first in range(2)),
)


def certain(rows: list[dict[str, Any]], group: str = "top") -> list[tuple[str, str]]:
    """What is called important."""
    return [(row["what"], row["form"]) for row in rows if row[f"{group}_adjusted"] < SIGNIFICANT]


@pytest.mark.parametrize("algorithm", ["evolution", "random"])
def test_a_kind_of_gene_that_decides_is_found(
    vit_b: Space, judged: Callable[..., Any], survived: Callable[..., Any], algorithm: str
) -> None:
    def judge(forms: dict[str, str]) -> float:
        return sum(form == "lora4" for name, form in forms.items() if name.endswith("attn.qkv.B")) / 12

    rows = importance(survived(vit_b, judged(vit_b, judge), algorithm=algorithm, generations=5))
    assert ("attn.qkv.B", "lora4") in certain(rows)
    for level, what in (("support", "B"), ("layer", "attn.qkv.B")):
        farthest = min((row for row in rows if row["level"] == level), key=lambda row: row["top_p"])
        assert (farthest["what"], farthest["form"]) == (what, "lora4")


def test_a_single_gene_that_decides_is_found_among_hundreds(
    vit_b: Space, judged: Callable[..., Any], survived: Callable[..., Any]
) -> None:
    def judge(forms: dict[str, str]) -> float:
        return float(forms["blocks.7.mlp.fc1.D"] == "vector")

    found = certain(importance(survived(vit_b, judged(vit_b, judge), 30, algorithm="random", generations=5)))
    assert ("blocks.7.mlp.fc1.D", "vector") in found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [None, 400_000])
def test_where_no_gene_matters_none_is_called_important(
    vit_b: Space, survived: Callable[..., Any], answer: Callable[..., Any], seed: int, limit: int | None
) -> None:
    """Accuracy is a hash of the genome. The survivors are relatives, and share many forms."""
    found = survived(vit_b, answer(), seed=seed, generations=8, max_parameters=limit)
    assert certain(importance(found)) == []


def test_a_test_that_takes_relatives_for_strangers_would_call_many_important(
    vit_b: Space, survived: Callable[..., Any], answer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the law above."""
    found = survived(vit_b, answer(), generations=8)

    def strangers(candidates: Any, members: Any, *_: Any) -> np.ndarray:
        return np.tile([each.id for each in members], (1000, 1))

    monkeypatch.setattr("glora_search.anatomy.deviations.dropped", strangers)
    assert len(certain(importance(found))) > 3


@pytest.mark.parametrize("seed", range(3))
def test_candidates_that_are_large_as_a_whole_are_not_taken_for_many_observations(
    vit_b: Space, seed: int, survivors_of: Callable[..., Any]
) -> None:
    """Draws of very different sizes, of which ten are called the best for no reason."""
    generator = np.random.default_rng(seed)
    genomes = [vit_b.draw(generator, int(generator.integers(50_000, 1_500_000))) for _ in range(60)]
    assert certain(importance(survivors_of(vit_b, genomes, "stratified"))) == []


def test_the_forms_of_a_gene_have_shares_that_sum_to_one_at_every_level(
    vit_b: Space, survived: Callable[..., Any], answer: Callable[..., Any]
) -> None:
    rows = importance(survived(vit_b, answer(), generations=2))
    assert {row["level"] for row in rows} == set(LEVELS)
    for level, sites in (("support", 5), ("layer", 20), ("gene", 240)):
        for share in ("draw", "top", "front"):
            total: dict[str, float] = {}
            for row in rows:
                if row["level"] == level:
                    total[row["what"]] = total.get(row["what"], 0.0) + row[share]
            assert len(total) == sites
            assert list(total.values()) == pytest.approx([1.0] * sites)


def test_under_a_limit_draws_are_counted_and_not_taken_from_the_alphabet(
    vit_b: Space, survived: Callable[..., Any], answer: Callable[..., Any]
) -> None:
    found = survived(vit_b, answer(), algorithm="random", generations=5, max_parameters=200_000)
    drawn = draw_shares(found.genes, found.draws)["blocks.0.mlp.fc1.B"]
    assert drawn["lora4"] < 0.1 < 0.25 < drawn["scalar"]


def test_without_draws_the_alphabet_is_what_is_compared_with_and_that_is_said(
    small: Space, survived: Callable[..., Any], answer: Callable[..., Any]
) -> None:
    found = survived(small, answer(), top=3, population=24, generations=0)  # enumerated
    assert found.draws == ()
    for forms in draw_shares(found.genes, found.draws).values():
        assert set(forms.values()) == {1 / len(forms)}
    assert "since no candidate of this search was drawn" in against(found)


@pytest.mark.parametrize("seed", range(3))
def test_nor_where_genes_stand_in_chains(survived: Callable[..., Any], answer: Callable[..., Any], seed: int) -> None:
    """Depths pooled, the first blocks' modules would be called needed, and the last ones' needless."""
    found = survived(CHAINED, answer(), 50, algorithm="random", seed=seed, generations=8)
    assert certain(importance(found)) == []


def test_in_a_chain_whether_a_gene_stands_is_counted_at_each_depth(
    survived: Callable[..., Any], answer: Callable[..., Any]
) -> None:
    found = survived(CHAINED, answer(), algorithm="random", generations=20)
    shares = draw_shares(found.genes, found.draws)
    at = [shares[f"blocks.{depth}.lora"] for depth in range(12)]
    off = [forms["none"] for forms in at]
    assert off == sorted(off)
    assert [off[depth] == off[depth - 1] for depth in range(1, 12)] == [depth % 3 != 0 for depth in range(1, 12)]
    assert off[0] < 0.3 < 0.7 < off[-1]
    for forms in at:
        assert sum(forms.values()) == pytest.approx(1.0)
        assert {form: forms[form] / (1 - forms["none"]) for form in ("ten", "five", "one")} == pytest.approx(
            {"ten": 1 / 3, "five": 1 / 3, "one": 1 / 3}, abs=0.05
        )


@pytest.fixture(scope="module")
def near_scaled_lora(vit_b: Space, survivors_of: Callable[..., Any]) -> Any:
    """Draws near a method that has LoRA at some depths only, of which a hundred are called the best for no reason."""
    generator = np.random.default_rng(0)
    method = fixed_genome(vit_b, "scaled_lora")
    found = survivors_of(vit_b, [near(vit_b, method, generator) for _ in range(400)], "random", top=100)
    return replace(found, method=method)


def test_near_a_method_that_differs_between_depths_a_gene_is_judged_by_its_own_depth(
    vit_b: Space, near_scaled_lora: Any
) -> None:
    found, forms = near_scaled_lora, vit_b.decode(near_scaled_lora.method)
    shares = draw_shares(found.genes, found.draws, found.method)
    products = [gene.name for gene in vit_b.genes if gene.name.endswith("mlp.fc1.B")]
    assert {forms[name] for name in products} == {"lora4", "none"}
    for name in products:
        assert shares[name][forms[name]] == pytest.approx(1 / 2 + 1 / 2 / 4, abs=0.06)  # equation (1) of draws.py
    assert [row for row in certain(importance(found)) if row[0] in products] == []
    assert "at which the method that they are near has one form together" in against(found)


def test_with_all_depths_pooled_the_methods_own_forms_would_be_called_important(
    vit_b: Space, near_scaled_lora: Any
) -> None:
    """The negative control of the law above."""
    assert [what for what, _ in certain(importance(replace(near_scaled_lora, method=None))) if ".B" in what]


def test_draws_of_a_layer_kind_are_not_pooled_over_stages(survivors_of: Callable[..., Any]) -> None:
    """Under a limit a form is rarer where it is dearer."""
    space = Space(
        tuple(
            Gene(f"stages.{stage}.blocks.{block}.fc.A", (Form("vector", "v", 10**stage), Form("none", "n", 0)))
            for stage in range(3)
            for block in range(4)
        )
    )
    generator = np.random.default_rng(0)
    found = survivors_of(space, [space.draw(generator, 120) for _ in range(200)], "random")
    shares = draw_shares(found.genes, found.draws)
    at = [shares[f"stages.{stage}.blocks.0.fc.A"]["vector"] for stage in range(3)]
    assert at[2] < at[0] - 0.1
    assert all(shares[f"stages.{stage}.blocks.3.fc.A"]["vector"] == at[stage] for stage in range(3))
    rows = importance(found)
    assert {row["what"] for row in rows if row["level"] == "layer"} == {f"stages.{stage}.fc.A" for stage in range(3)}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_correction_is_between_none_and_bonferronis(p: list[float]) -> None:
    adjusted = holm(p)
    for before, after in zip(p, adjusted, strict=True):
        assert before <= after <= min(1.0, before * len(p)) or after == max(adjusted)
    assert min(adjusted) == min(1.0, min(p) * len(p))
    order = sorted(range(len(p)), key=p.__getitem__)
    assert [adjusted[place] for place in order] == sorted(adjusted)
