"""Spaces with chains: what stands, stands in the first sites, and everything that makes a genome keeps to that."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glora_search.variation import crossover, mutate
from supernet.chains import Chain, lengths_of
from supernet.draws import fair, genomes, near
from supernet.errors import BadInput
from supernet.settings import TrainingSettings
from supernet.space import Form, Gene, Space

FORMS = (Form("ten", "A", 100), Form("five", "5", 50), Form("one", "1", 10), Form("none", ".", 0))
SPACE = Space(  # three modules of 12 blocks, block by block
    tuple(Gene(f"blocks.{block}.{module}", FORMS) for block in range(12) for module in ("prompt", "lora", "adapter")),
    tuple(Chain(tuple(range(first, 36, 3)), (0, 3, 6, 9, 12)) for first in range(3)),
)
NONE = FORMS[-1]
seeds = st.integers(0, 2**32 - 1)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to six genes, free or of one of two chains, in any order; letters and costs in any order too."""
    owners = draw(st.lists(st.sampled_from((0, 1, 2)), min_size=1, max_size=6))
    genes = []
    for number, owner in enumerate(owners):
        costs = draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))
        forms = [Form(f"form{i}", "abc"[i], cost) for i, cost in enumerate(costs)]
        genes.append(Gene(f"site{number}.A", tuple(draw(st.permutations([*forms, NONE]) if owner else st.just(forms)))))
    chains = []
    for owner in {1, 2} & set(owners):
        places = tuple(place for place, each in enumerate(owners) if each == owner)
        lengths = draw(st.sets(st.integers(0, len(places)), min_size=1))
        chains.append(Chain(places, tuple(sorted(lengths))))
    return Space(tuple(genes), tuple(chains))


def every_genome(space: Space) -> list[str]:
    """By the rule as it is said, and not by the code under test."""
    letters = itertools.product(*([form.letter for form in gene.forms] for gene in space.genes))
    return ["".join(each) for each in letters if all(_obeys(chain, each) for chain in space.chains)]


def _obeys(chain: Chain, letters: tuple[str, ...]) -> bool:
    stands = "".join("x" if letters[gene] != "." else "." for gene in chain.genes)
    return any(stands == "x" * length + "." * (len(chain.genes) - length) for length in chain.lengths)


# Which genomes there are


@given(spaces())
def test_the_genomes_of_a_space_are_those_of_the_rule_once_each(space: Space) -> None:
    found = list(space.feasible())
    assert len(found) == len(set(found)) == space.size
    assert set(found) == set(every_genome(space))
    assert [space.encode(space.decode(genome)) for genome in found] == found


@given(spaces(), st.integers(-1, 180))
def test_the_feasible_genomes_are_those_of_the_rule_within_the_limit(space: Space, limit: int) -> None:
    found = list(space.feasible(limit))
    assert len(found) == len(set(found))
    assert set(found) == {genome for genome in every_genome(space) if space.parameters(genome) <= limit}


@given(spaces())
def test_smallest_and_largest_are_the_ends_of_what_obeys(space: Space) -> None:
    costs = [space.parameters(genome) for genome in every_genome(space)]
    assert {space.smallest, space.largest} <= set(every_genome(space))
    assert (space.parameters(space.smallest), space.parameters(space.largest)) == (min(costs), max(costs))


@given(spaces())
def test_text_is_refused_exactly_where_it_breaks_the_rule(space: Space) -> None:
    alphabets = [[form.letter for form in gene.forms] for gene in space.genes]
    held = [text for letters in itertools.product(*alphabets) if space.holds(text := "".join(letters))]
    assert held == every_genome(space)


@pytest.mark.parametrize(
    ("stands", "letters"),
    [((0, 1, 2, 4), "AAA.A......."), ((0, 1), "AA.........."), ((9, 10, 11), ".........AAA")],
    ids=["a hole", "another length", "not the first"],
)
def test_a_genome_that_breaks_the_rule_is_refused_with_the_rule(stands: tuple[int, ...], letters: str) -> None:
    genome = "".join("A" if place % 3 == 1 and place // 3 in stands else "." for place in range(36))
    said = (
        r"Of the 12 genes from blocks\.0\.lora to blocks\.11\.lora the first 0, 3, 6, 9 or 12 have a form other than "
        rf"`none`, and those behind them are `none`; got the letters '{letters}'"
    )
    for reader in (SPACE.require, SPACE.decode):
        with pytest.raises(BadInput, match=said):
            reader(genome)
    with pytest.raises(BadInput, match=said):
        SPACE.encode({f"blocks.{block}.lora": "ten" for block in stands})


@pytest.mark.parametrize(("count", "lengths"), [(12, (0, 3, 6, 9, 12)), (6, (0, 2, 3, 5, 6)), (2, (0, 1, 2))])
def test_four_steps_of_depth_are_quarters_rounded_up(count: int, lengths: tuple[int, ...]) -> None:
    assert lengths_of(count, 4) == lengths


def test_a_chain_that_cannot_be_is_our_own_mistake() -> None:
    for lengths in ((), (3, 2), (2, 2), (-1,), (4,)):
        with pytest.raises(AssertionError):
            Chain((0, 1, 2), lengths)
    free = Gene("a.A", FORMS[:2])
    for genes, chains in (((free,), [(0,)]), ((Gene("a.A", (NONE,)),), [(0,)]), ((Gene("a.A", FORMS),), [(0,), (0,)])):
        with pytest.raises(AssertionError):
            Space(genes, tuple(Chain(each, (0, 1)) for each in chains))


def test_a_space_with_chains_is_another_value() -> None:
    free = replace(SPACE, chains=())
    assert free != SPACE
    assert free.size == 4**36
    assert SPACE.size == sum(3**length for length in (0, 3, 6, 9, 12)) ** 3


# What makes a genome


@given(spaces(), seeds, st.integers(0, 180), st.floats(0, 1))
def test_whatever_draws_makes_genomes_of_the_rule_within_the_limit(
    space: Space, seed: int, above: int, share: float
) -> None:
    least, most = space.parameters(space.smallest), space.parameters(space.largest)
    generator, limit = np.random.default_rng(seed), least + above
    one, other = space.draw(generator), space.draw(generator, limit)
    free = [one, crossover(space, one, other, None, generator), mutate(space, one, 0.5, None, generator)]
    free += [near(space, space.largest, generator), fair(space, seed, above)]
    free += [space.draw(generator, size=least + share * (most - least))]
    limited = [other, crossover(space, one, other, limit, generator), mutate(space, one, 0.5, limit, generator)]
    limited += [near(space, space.largest, generator, limit), space.repair(one, limit, generator)]
    limited += [space.draw(generator, limit, size=float(size)) for size in space.sizes(3, limit)]
    obeying = set(every_genome(space))
    assert {*free, *limited} <= obeying
    assert all(space.parameters(genome) <= limit for genome in limited)


@given(spaces(), seeds, st.integers(0, 180))
def test_the_same_generator_makes_the_same_genomes(space: Space, seed: int, above: int) -> None:
    made = []
    for generator in (np.random.default_rng(seed), np.random.default_rng(seed)):
        one = space.draw(generator)
        limit = space.parameters(space.smallest) + above
        children = [crossover(space, one, space.largest, limit, generator), mutate(space, one, 0.5, limit, generator)]
        made.append([one, *children, space.repair(one, limit, generator)])
    assert made[0] == made[1]


@given(spaces(), seeds, st.integers(0, 180))
def test_repair_makes_genes_cheaper_and_chains_shorter_and_leaves_what_fits(
    space: Space, seed: int, above: int
) -> None:
    generator, limit = np.random.default_rng(seed), space.parameters(space.smallest) + above
    genome = space.draw(generator)
    repaired = space.repair(genome, limit, generator)
    if space.parameters(genome) <= limit:
        assert repaired == genome
    for gene, before, after in zip(space.genes, genome, repaired, strict=True):
        assert after in (before, ".") or gene.by_letter[after].parameters < gene.by_letter[before].parameters
    assert all(after <= before for before, after in zip(space.lengths(genome), space.lengths(repaired), strict=True))


def test_draws_reach_every_length_equally_often_and_every_form_where_a_gene_stands() -> None:
    generator, draws = np.random.default_rng(0), 3000
    found = [SPACE.draw(generator) for _ in range(draws)]
    for number, chain in enumerate(SPACE.chains):
        lengths = Counter(SPACE.lengths(genome)[number] for genome in found)
        assert lengths.keys() == set(chain.lengths)
        for count in lengths.values():  # five standard errors
            assert abs(count - draws / 5) < 5 * (draws * 0.2 * 0.8) ** 0.5
        for gene in chain.genes:
            forms = Counter(genome[gene] for genome in found if genome[gene] != ".")
            assert forms.keys() == {"A", "5", "1"}
            assert max(forms.values()) < 1.5 * min(forms.values())


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_draws_about_a_size_have_it_on_average(share: float) -> None:
    size, generator = share * SPACE.parameters(SPACE.largest), np.random.default_rng(0)
    costs = np.array([SPACE.parameters(SPACE.draw(generator, size=size)) for _ in range(400)])
    assert abs(costs.mean() - size) < 5 * costs.std() / 400**0.5


@pytest.mark.parametrize("extreme", ["smallest", "largest"])
def test_a_size_at_an_end_of_the_space_draws_that_end(extreme: str) -> None:
    genome = getattr(SPACE, extreme)
    assert SPACE.draw(np.random.default_rng(0), size=SPACE.parameters(genome)) == genome


@given(seeds)
def test_a_child_has_a_length_of_a_parents_and_a_gene_that_stands_is_one_parents(seed: int) -> None:
    generator = np.random.default_rng(seed)
    one, other = SPACE.draw(generator), SPACE.draw(generator)
    child = crossover(SPACE, one, other, None, generator)
    for length, *parents in zip(*(SPACE.lengths(genome) for genome in (child, one, other)), strict=True):
        assert length in parents
    assert all(letter in (a, b, ".") for letter, a, b in zip(child, one, other, strict=True))


def test_mutation_moves_lengths_as_often_as_its_rate_says() -> None:
    generator = np.random.default_rng(0)
    children = [mutate(SPACE, SPACE.largest, 0.3, None, generator) for _ in range(2000)]
    for number in range(3):  # a redrawn length is the old one with chance 1/5
        moved = np.mean([SPACE.lengths(child)[number] != 12 for child in children])
        assert abs(moved - 0.3 * 0.8) < 0.05
    assert all(mutate(SPACE, child, 1e-300, None, generator) == child for child in children[:50])


def test_fair_draws_hold_each_length_of_a_chain_once_in_as_many_draws() -> None:
    found = [fair(SPACE, 3, number) for number in range(30)]
    for start in range(0, 30, 5):
        for number in range(3):
            assert {SPACE.lengths(genome)[number] for genome in found[start : start + 5]} == {0, 3, 6, 9, 12}


@pytest.mark.parametrize("draws", ["uniform", "near", "fair", "sandwich"])
def test_a_training_step_draws_genomes_of_the_rule(draws: str) -> None:
    settings = TrainingSettings.model_validate({"draws": draws, "subnets": 3, "around": "largest"})
    found = [genome for t in range(50) for genome in genomes(SPACE, settings, 3, t, 50)]
    for genome in found:
        SPACE.require(genome)
    assert len(set(found)) > 20


# A space without chains


FREE = Space(tuple(Gene(f"blocks.{i}.A", (FORMS[0], *FORMS[2:])[i % 2 : 2 + i % 3]) for i in range(30)))


def _made(space: Space) -> Iterator[str]:
    """Something of all that draws, forty times."""
    generator, limit = np.random.default_rng(0), space.parameters(space.smallest) + 250
    for number in range(40):
        one, other = space.draw(generator), space.draw(generator, limit)
        yield from (one, other, space.draw(generator, limit, size=limit - 90), space.draw(generator, size=500.0))
        yield from (crossover(space, one, other, limit, generator), mutate(space, one, 0.3, limit, generator))
        yield from (space.repair(one, limit - 200, generator), near(space, one, generator, limit))
        yield fair(space, 3, number)
    yield from itertools.islice(space.feasible(limit), 200)


def test_a_space_without_chains_draws_what_it_drew_before_there_were_any() -> None:
    """The digest is that of the program before it knew chains: campaigns of then are replayed by it."""
    assert hashlib.sha256("".join(_made(FREE)).encode()).hexdigest() == DIGEST


DIGEST = "025fd6d00e78fca4ed734ef9ced7e913a57b1908ec22b420d16bbd91594338e4"
