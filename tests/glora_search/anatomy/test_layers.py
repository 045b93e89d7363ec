"""Where parameters went: what forms cost is told from candidates alone, exactly or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from glora_search.anatomy.costs import cost_of, costs
from glora_search.anatomy.heatmaps import draw, short
from glora_search.anatomy.layers import layers
from glora_search.anatomy.loci import locus_of
from supernet.space import Form, Gene, Space

KINDS = {"attn.qkv": 3, "mlp.fc1": 4}  # outputs, in widths
STAGES = Space(  # of two blocks each, the second twice as wide, and what leads to it
    tuple(
        Gene(f"{site}.{support}", (Form("vector", "v", wide * width), Form("scalar", "s", 1), Form("none", "n", 0)))
        for stage, width in enumerate((96, 192))
        for site, wide in (
            *((f"layers.{stage}.downsample.{part}", 2) for part in ("norm", "reduction") if stage),
            *((f"layers.{stage}.blocks.{block}.{kind}", wide) for block in (0, 1) for kind, wide in KINDS.items()),
        )
        for support in "AE"
    )
)


@pytest.fixture(scope="module")
def found(vit_b: Space, survived: Callable[..., Any], answer: Callable[..., Any]) -> Any:
    return survived(vit_b, answer(), generations=2)


def test_what_forms_cost_is_told_from_the_candidates_parameters(vit_b: Space, found: Any) -> None:
    known = costs(found.genes, found.candidates)
    assert known is not None
    for gene in vit_b.genes:
        locus = locus_of(gene.name)
        for form in gene.forms:
            assert known.get((locus.kind, locus.support, form.name), 0) == form.parameters


def test_too_few_candidates_tell_nothing(found: Any) -> None:
    assert costs(found.genes, found.candidates[:30]) is None
    assert {layer.parameters for layer in layers(found.genes, found.top, None)} == {None}


def test_layers_of_one_kind_that_cost_differently_are_not_made_up(found: Any) -> None:
    from dataclasses import replace

    odd = replace(found.candidates[0], params=found.candidates[0].params + 1)
    assert costs(found.genes, [odd, *found.candidates[1:]]) is None


@pytest.fixture(scope="module")
def in_stages(survived: Callable[..., Any], answer: Callable[..., Any]) -> Any:
    return survived(STAGES, answer(), generations=2)


def test_in_a_network_of_stages_a_form_costs_what_it_costs_in_its_stage(in_stages: Any) -> None:
    known = costs(in_stages.genes, in_stages.candidates)
    assert known is not None
    for gene, space_gene in zip(in_stages.genes, STAGES.genes, strict=True):
        for letter, form in gene["alphabet"].items():
            assert cost_of(known, gene, letter) == space_gene.by_name[form].parameters


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("kind", ["layers.0.attn.qkv", "layers.0.mlp.fc1", "layers.1.downsample.norm", "layers.1.downsample.reduction",
                  "layers.1.attn.qkv", "layers.1.mlp.fc1"]),
        ("depth", ["every"] * 5),
        ("layer", [*["attn.qkv", "mlp.fc1"] * 2, "downsample.norm", "downsample.reduction",
                   *["attn.qkv", "mlp.fc1"] * 2]),
    ],
)  # fmt: skip
def test_layers_of_a_network_of_stages_are_named(in_stages: Any, by: str, names: list[str]) -> None:
    """A layer by its kind beside its depth, which holds the stage; a kind of a stage by both."""
    found = layers(in_stages.genes, in_stages.top, None, by)
    assert [layer.kind for layer in found] == names
    if by == "depth":
        assert [layer.depth for layer in found] == ["0.0", "0.1", "1", "1.0", "1.1"]


@pytest.mark.parametrize(("by", "count"), [("layer", 48), ("kind", 4), ("depth", 12)])
def test_the_layers_parameters_sum_to_the_candidates(found: Any, by: str, count: int) -> None:
    groups = layers(found.genes, found.top, costs(found.genes, found.candidates), by)
    assert len(groups) == count
    total = sum(group.parameters * 48 / count for group in groups)
    assert total == pytest.approx(mean(each.params for each in found.top))


def test_shares_sum_to_one_and_the_most_frequent_form_comes_first(found: Any) -> None:
    for layer in layers(found.genes, found.top, None):
        assert set(layer.shares) == set("ABCDE")
        for support, shares in layer.shares.items():
            assert sum(shares.values()) == pytest.approx(1)
            assert layer.most(support) == max(shares.items(), key=lambda item: item[1])
    assert layer.most("F") is None


def test_depths_are_in_the_order_of_the_network(found: Any) -> None:
    assert [layer.depth for layer in layers(found.genes, found.top, None, "depth")] == [str(n) for n in range(12)]


def test_the_picture_is_drawn_with_and_without_costs(found: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    known = costs(found.genes, found.candidates)
    for number, each in enumerate((known, None)):
        groups = {"best": layers(found.genes, found.top, each), "front": layers(found.genes, found.front, each)}
        path = draw("test", groups, tmp_path / "deep" / f"{number}.png")
        assert path is not None
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_kind_is_named_by_its_last_word_unless_two_would_be() -> None:
    assert short(["attn.qkv", "mlp.fc1"]) == ["qkv", "fc1"]
    assert short(["attn.proj", "patch_embed.proj"]) == ["attn.proj", "patch_embed.proj"]
