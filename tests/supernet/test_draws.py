"""Which subnets a step draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from supernet.draws import fair, genomes, near
from supernet.methods import fixed_genome
from supernet.randomness import stream
from supernet.settings import TrainingSettings
from supernet.space import Form, Gene, Space

NONE = Form("none", ".", 0)
SPACE = Space(
    (
        Gene("a.A", (Form("lora4", "4", 40), Form("vector", "v", 5), Form("scalar", "s", 1), NONE)),
        Gene("a.D", (Form("vector", "v", 5), Form("scalar", "s", 1), NONE)),
        Gene("b.A", (Form("lora4", "4", 40), Form("vector", "v", 5), Form("scalar", "s", 1), NONE)),
    )
)

STEPS = 2000


def drawn(t: int, **settings: object) -> list[str]:
    return genomes(SPACE, TrainingSettings.model_validate(settings), 3, t, STEPS)


@pytest.mark.parametrize("draws", ["uniform", "near", "fair", "sandwich"])
def test_a_step_draws_what_its_number_says_and_nothing_else(draws: str) -> None:
    settings = {"draws": draws, "subnets": 3, "around": "ssf"}
    steps = [drawn(t, **settings) for t in range(0, STEPS, 50)]
    assert [drawn(t, **settings) for t in reversed(range(0, STEPS, 50))] == steps[::-1]
    assert all(len(found) == 3 for found in steps)
    assert len({tuple(found) for found in steps}) > 10
    for genome in (genome for found in steps for genome in found):
        SPACE.require(genome)


def test_one_uniform_subnet_a_step_is_the_spaces_own_draw() -> None:
    assert [drawn(t, draws="uniform") for t in range(9)] == [[SPACE.draw(stream(3, "forms", t))] for t in range(9)]


@pytest.mark.parametrize("subnets", [1, 3])
def test_fair_draws_hold_each_form_of_a_gene_once_in_as_many_draws(subnets: int) -> None:
    sequence = [genome for t in range(12) for genome in drawn(t, draws="fair", subnets=subnets)]
    for place, gene in enumerate(SPACE.genes):
        forms = len(gene.forms)
        for start in range(0, len(sequence) - forms + 1, forms):
            counts = Counter(genome[place] for genome in sequence[start : start + forms])
            assert set(counts) == set(gene.by_letter)
            assert set(counts.values()) == {1}


def test_fair_draws_differ_between_genes_of_the_same_forms() -> None:
    both = [fair(SPACE, 3, number) for number in range(40)]
    assert [genome[0] for genome in both] != [genome[2] for genome in both]


def test_near_draws_range_from_the_method_itself_to_uniform_draws() -> None:
    """A gene takes the method's form with probability 1/2 + 1/2 / forms, and any other with 1/2 / forms."""
    method = fixed_genome(SPACE, "ssf")
    found = [
        genome
        for t in range(STEPS)
        for genome in drawn(t, draws="near", around="ssf", method_first=0.0, method_last=0.0)
    ]
    assert found.count(method) > 100, "from 2,000 draws"
    for place, gene in enumerate(SPACE.genes):
        forms = len(gene.forms)
        counts = Counter(genome[place] for genome in found)
        for letter in gene.by_letter:
            share = 0.5 / forms + (0.5 if letter == method[place] else 0.0)
            assert counts[letter] / len(found) == pytest.approx(share, abs=0.04), (gene.name, letter)


def test_the_first_and_last_steps_draw_the_method_itself_and_leave_the_others_as_they_are() -> None:
    method = fixed_genome(SPACE, "ssf")
    near_only, led, both = (
        [
            genome
            for t in range(STEPS)
            for genome in drawn(t, draws="near", around="ssf", method_first=first, method_last=last)
        ]
        for first, last in ((0.0, 0.0), (0.4, 0.0), (0.4, 0.2))
    )
    begin, end = STEPS * 2 // 5, STEPS * 4 // 5
    assert set(led[:begin]) == set(both[:begin]) == set(both[end:]) == {method}
    assert both[begin:end] == led[begin:end] == near_only[begin:end]
    assert led[end:] == near_only[end:]
    assert {method} not in (set(near_only[:begin]), set(near_only[begin:end]), set(near_only[end:]))


def test_a_draw_near_a_method_keeps_to_a_limit() -> None:
    generator = np.random.default_rng(0)
    drawn_under = [near(SPACE, SPACE.largest, generator, limit=46) for _ in range(200)]
    assert all(SPACE.parameters(genome) <= 46 for genome in drawn_under)
    assert len(set(drawn_under)) > 20


def test_a_sandwich_is_the_largest_the_smallest_and_what_fits_between() -> None:
    with pytest.raises(ValidationError, match="take 3 or more"):
        TrainingSettings(draws="sandwich", subnets=2)
    largest, smallest, *others = drawn(5, draws="sandwich", subnets=4)
    assert (largest, smallest) == (SPACE.largest, SPACE.smallest)
    assert len(others) == 2
