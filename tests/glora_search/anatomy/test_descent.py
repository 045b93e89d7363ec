"""What chance explains: relatives are fewer observations than they look, and strangers are as many."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glora_search.anatomy import totals
from glora_search.anatomy.descent import chance, clans, dropped, novelty, two_sided
from glora_search.anatomy.draws import draw_shares
from supernet.space import Space

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=6)
PROBABILITIES = st.floats(0.001, 0.999)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_where_nobody_is_related_the_count_is_binomial(
    vit_b: Space, survived: Callable[..., Any], answer: Callable[..., Any]
) -> None:
    found = survived(vit_b, answer(), algorithm="random", population=40, generations=0)
    (distribution,) = chance(clans(dropped(found.candidates, found.top, {}, generator())), np.array([0.3]))
    binomial = [comb(10, k) * 0.3**k * 0.7 ** (10 - k) for k in range(11)]
    assert distribution == pytest.approx(binomial, abs=1e-12)


def test_copies_of_one_candidate_are_one_observation(
    vit_b: Space, survived: Callable[..., Any], answer: Callable[..., Any]
) -> None:
    found = survived(vit_b, answer(), population=1, generations=4, parents=1, crossover=0, mutation=3)
    never_new = {"mutation": 0.0}
    (distribution,) = chance(clans(dropped(found.candidates, found.top, never_new, generator())), np.array([0.3]))
    assert distribution == pytest.approx([0.7, *[0.0] * 9, 0.3])
    always_new = {"mutation": 1.0}
    assert set(clans(dropped(found.candidates, found.top, always_new, generator()))) == {(1,) * 10}


@given(st.lists(SIZES, min_size=1, max_size=4), PROBABILITIES)
def test_relation_changes_how_sure_one_is_and_not_what_is_expected(drops: list[list[int]], q: float) -> None:
    members = max(map(sum, drops))
    sizes = {tuple(each) + (1,) * (members - sum(each)) for each in drops}
    whole = dict.fromkeys(sizes, 1 / len(sizes))
    (distribution,) = chance(whole, np.array([q]))
    assert distribution.sum() == pytest.approx(1)
    assert distribution @ np.arange(members + 1) == pytest.approx(members * q)
    (unrelated,) = chance({(1,) * members: 1.0}, np.array([q]))
    spread = (np.arange(members + 1) - members * q) ** 2
    assert distribution @ spread >= unrelated @ spread - 1e-9


@given(SIZES, PROBABILITIES)
def test_a_p_value_keeps_its_word(sizes: list[int], q: float) -> None:
    """However small alpha is, p is at most alpha with at most that probability."""
    (distribution,) = chance({tuple(sizes): 1.0}, np.array([q]))
    p = np.array([two_sided(distribution, count) for count in range(len(distribution))])
    for alpha in (0.01, 0.05, 0.2, 0.5):
        assert distribution[p <= alpha].sum() <= alpha + 1e-9


def test_a_total_that_no_drop_came_to_is_rare_and_never_impossible() -> None:
    drops = np.arange(1000)
    assert totals.two_sided(drops, 5000) == 2 / 1001
    assert totals.two_sided(drops, 500) == 1
    assert totals.two_sided(np.full(1000, 7), 7) == 1


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_rate_of_new_genes_is_measured(
    vit_b: Space, survived: Callable[..., Any], answer: Callable[..., Any], rate: float
) -> None:
    found = survived(vit_b, answer(), generations=3, mutation_rate=rate)
    measured = novelty(found.genes, found.candidates, draw_shares(found.genes, found.draws))
    assert measured["crossover"] == 0
    assert measured["mutation"] == pytest.approx(rate, rel=0.1)
