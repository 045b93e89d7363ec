"""Children are genomes of the space, made of what their parents have, and under the limit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glora_search.variation import crossover, mutate, pair
from supernet.space import Form, Gene, Space

FORMS = (Form("lora4", "4", 9), Form("vector", "v", 4), Form("scalar", "s", 1), Form("none", "n", 0))
SPACE = Space(tuple(Gene(f"blocks.{number}.A", FORMS[: 2 + number % 3]) for number in range(12)))
SMALLEST, LARGEST = SPACE.parameters(SPACE.smallest), SPACE.parameters(SPACE.largest)

genomes = st.tuples(*(st.sampled_from([form.letter for form in gene.forms]) for gene in SPACE.genes)).map("".join)
seeds = st.integers(0, 2**32 - 1)
limits = st.none() | st.integers(SMALLEST, LARGEST)


@given(genomes, genomes, seeds)
def test_without_a_limit_each_gene_of_a_child_is_one_parents(one: str, other: str, seed: int) -> None:
    child = crossover(SPACE, one, other, None, np.random.default_rng(seed))
    assert all(letter in pair for letter, pair in zip(child, zip(one, other, strict=True), strict=True))


@given(genomes, genomes, st.integers(SMALLEST, LARGEST), seeds)
def test_crossover_under_a_limit_takes_genes_of_parents_or_cheaper_ones(
    one: str, other: str, limit: int, seed: int
) -> None:
    child = crossover(SPACE, one, other, limit, np.random.default_rng(seed))
    assert SPACE.parameters(child) <= limit
    for gene, letter, *parents in zip(SPACE.genes, child, one, other, strict=True):
        costs = [gene.by_letter[each].parameters for each in parents]
        assert letter in parents or gene.by_letter[letter].parameters < max(costs)


@given(genomes, st.floats(0.01, 1), limits, seeds)
def test_mutation_stays_in_the_space_and_under_the_limit(
    parent: str, rate: float, limit: int | None, seed: int
) -> None:
    child = mutate(SPACE, parent, rate, limit, np.random.default_rng(seed))
    SPACE.require(child)
    assert limit is None or SPACE.parameters(child) <= limit


@given(genomes, seeds)
def test_mutation_at_a_vanishing_rate_changes_nothing(parent: str, seed: int) -> None:
    assert mutate(SPACE, parent, 1e-300, None, np.random.default_rng(seed)) == parent


def test_mutation_redraws_as_many_genes_as_its_rate_says() -> None:
    generator, parent = np.random.default_rng(0), SPACE.largest
    children = [mutate(SPACE, parent, 0.3, None, generator) for _ in range(2000)]
    for place, gene in enumerate(SPACE.genes):  # a redrawn gene draws its old form with chance 1/forms
        changed = np.mean([child[place] != parent[place] for child in children])
        assert abs(changed - 0.3 * (1 - 1 / len(gene.forms))) < 0.05


def test_crossover_takes_half_of_its_genes_from_each_parent() -> None:
    generator = np.random.default_rng(0)
    children = [crossover(SPACE, SPACE.largest, SPACE.smallest, None, generator) for _ in range(2000)]
    for place in range(len(SPACE.genes)):
        assert abs(np.mean([child[place] == SPACE.largest[place] for child in children]) - 0.5) < 0.05


@given(genomes, genomes, limits, seeds)
def test_the_same_generator_draws_the_same_children(one: str, other: str, limit: int | None, seed: int) -> None:
    first, second = (np.random.default_rng(seed) for _ in range(2))
    assert crossover(SPACE, one, other, limit, first) == crossover(SPACE, one, other, limit, second)
    assert mutate(SPACE, one, 0.5, limit, first) == mutate(SPACE, one, 0.5, limit, second)


@given(st.integers(2, 40), seeds)
def test_a_pair_is_of_two_different_parents(count: int, seed: int) -> None:
    first, second = pair(count, np.random.default_rng(seed))
    assert first != second
    assert {first, second} <= set(range(count))


def test_a_single_parent_pairs_with_itself() -> None:
    assert pair(1, np.random.default_rng(0)) == (0, 0)
