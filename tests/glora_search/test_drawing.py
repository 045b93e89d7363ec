"""What a search draws without parents: uniformly, or as its supernet's training drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from glora_search.drawing import drawing, uniform
from glora_search.evolution import Evaluate, Generation, evolve
from glora_search.settings import CampaignSettings, parse
from supernet.methods import fixed_genome, within
from supernet.space import Space


def settings_of(first: str = "trained", **search: Any) -> CampaignSettings:
    values = {
        "name": "drawn",
        "backbone": {"model": "vit_base_patch16_224"},
        "data": {"source": "digits"},
        "training": {"draws": "near", "around": "lora"},
        "search": {"first": first, "population": 40, "generations": 1, **search},
    }
    return parse(values, "this test")


@pytest.fixture
def generations(vit_b: Space, answer: Callable[..., Evaluate]) -> Callable[..., list[Generation]]:
    def generations(**settings: Any) -> list[Generation]:
        chosen = settings_of(**settings)
        return list(evolve(vit_b, chosen.search, 0, answer(), drawing=drawing(vit_b, chosen)))

    return generations


def likeness(genome: str, other: str) -> float:
    return float(np.mean([a == b for a, b in zip(genome, other, strict=True)]))


def test_a_search_begins_with_the_method_and_draws_near_it(
    vit_b: Space, generations: Callable[..., list[Generation]]
) -> None:
    method = fixed_genome(vit_b, "lora")
    near, far = (generations(first=first)[0].proposals for first in ("trained", "uniform"))
    assert (near[0].genome, near[0].operator) == (method, "fixed")
    assert {proposal.operator for proposal in (*near[1:], *far)} == {"random"}
    assert np.mean([likeness(each.genome, method) for each in near[1:]]) > 0.5
    assert np.mean([likeness(each.genome, method) for each in far]) < 0.35


def test_random_search_draws_alike_but_is_given_nothing(generations: Callable[..., list[Generation]]) -> None:
    evolution, random = (generations(algorithm=name)[0].proposals for name in ("evolution", "random"))
    assert [each.genome for each in random[:-1]] == [each.genome for each in evolution[1:]]


def test_under_a_low_limit_a_search_begins_with_what_fits_of_the_method_and_draws_near_that(
    vit_b: Space, generations: Callable[..., list[Generation]]
) -> None:
    limit = vit_b.parameters(fixed_genome(vit_b, "lora")) // 2
    first = generations(max_parameters=limit)[0].proposals
    method = within(vit_b, "lora", limit)
    assert (first[0].genome, first[0].operator) == (method, "fixed")
    assert {proposal.operator for proposal in first[1:]} == {"random"}
    assert all(proposal.params <= limit for proposal in first)
    assert np.mean([likeness(each.genome, method) for each in first[1:]]) > 0.5


def test_a_method_that_cannot_be_cut_to_the_limit_is_left_out_and_draws_keep_to_it(vit_b: Space) -> None:
    settings = settings_of(max_parameters=100_000)
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"around": "largest"})})
    first = next(evolve(vit_b, settings.search, 0, lambda *_: [], drawing=drawing(vit_b, settings))).proposals
    assert {proposal.operator for proposal in first} == {"random"}
    assert all(proposal.params <= 100_000 for proposal in first)


@pytest.mark.parametrize("settings", [settings_of("uniform"), settings_of("stratified")], ids=["uniform", "stratified"])
def test_elsewhere_every_form_is_as_likely(vit_b: Space, settings: CampaignSettings) -> None:
    assert drawing(vit_b, settings) == uniform(vit_b)
