"""Laws of the search loop, for each algorithm, under answers that are functions of the genome."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.records import Proposal
from glora_search import selection
from glora_search.evolution import Evaluate, Generation, evolve
from glora_search.selection import Scored
from glora_search.settings import SearchSettings
from supernet.chains import Chain
from supernet.errors import Infeasible
from supernet.space import Form, Gene, Space

ALGORITHMS = ("evolution", "nsga2", "random")
PAPERS = 1050  # 50 + 20 x 50

Searched = Callable[..., list[Generation]]


def proposals(generations: Sequence[Generation]) -> list[Proposal]:
    return [proposal for generation in generations for proposal in generation.proposals]


# ---- what is proposed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("limit", [None, 0.29e6, 20_000, 60], ids=str)
def test_the_defaults_propose_1050_different_candidates_under_the_limit(
    vit_b: Space, searched: Searched, algorithm: str, limit: float | None
) -> None:
    maximum = None if limit is None else int(limit)
    begin = time.perf_counter()
    found = proposals(searched(vit_b, algorithm=algorithm, max_parameters=maximum))
    assert [proposal.id for proposal in found] == list(range(PAPERS))
    assert len({proposal.genome for proposal in found}) == PAPERS
    for proposal in found:
        vit_b.require(proposal.genome)
        assert proposal.params == vit_b.parameters(proposal.genome) <= (maximum or proposal.params)
    assert time.perf_counter() - begin < 60  # a limit of 0.002% of uniform draws is no reason to wait


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_just_above_the_minimum_a_population_is_filled_at_once(
    vit_b: Space, searched: Searched, algorithm: str
) -> None:
    found = proposals(searched(vit_b, algorithm=algorithm, max_parameters=1, generations=2))
    assert len(found) == 150
    assert max(proposal.params for proposal in found) == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_limit_of_0_leaves_the_backbone_itself(vit_b: Space, searched: Searched, algorithm: str) -> None:
    (generation,) = searched(vit_b, algorithm=algorithm, max_parameters=0)
    (only,) = generation.proposals
    assert (only.genome, only.params, only.operator) == (vit_b.smallest, 0, "enumerated")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_limit_below_the_smallest_subnet_is_infeasible_and_names_it(
    small: Space, searched: Searched, algorithm: str
) -> None:
    with pytest.raises(Infeasible, match=r"at least 1\b"):
        searched(small, algorithm=algorithm, max_parameters=0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_space_smaller_than_the_population_is_enumerated(small: Space, searched: Searched, algorithm: str) -> None:
    (generation,) = searched(small, algorithm=algorithm, population=24)
    assert sorted(proposal.genome for proposal in generation.proposals) == sorted(small.feasible())
    assert {proposal.operator for proposal in generation.proposals} == {"enumerated"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("limit", [None, 9, 5])
def test_a_space_that_runs_out_ends_the_search_once_all_of_it_is_proposed(
    small: Space, searched: Searched, algorithm: str, limit: int | None
) -> None:
    sizes = {"population": 4, "generations": 20, "crossover": 2, "mutation": 3, "parents": 2}
    found = proposals(searched(small, algorithm=algorithm, max_parameters=limit, **sizes))
    assert sorted(proposal.genome for proposal in found) == sorted(small.feasible(limit))
    assert [proposal.id for proposal in found] == list(range(len(found)))


def spaces() -> st.SearchStrategy[Space]:
    forms = st.lists(st.integers(0, 5), min_size=1, max_size=3).map(
        lambda costs: tuple(Form(f"f{place}", "abc"[place], cost) for place, cost in enumerate(costs))
    )
    genes = st.lists(forms, min_size=1, max_size=6)
    return genes.map(lambda all_forms: Space(tuple(Gene(f"g{place}", each) for place, each in enumerate(all_forms))))


@given(
    spaces(), st.sampled_from(ALGORITHMS), st.integers(1, 8), st.integers(0, 4), st.integers(0, 4), st.integers(0, 5)
)
@settings(deadline=None, max_examples=60)
def test_any_search_proposes_as_many_as_it_should_or_all_that_is_feasible(
    answer: Callable[..., Evaluate],
    space: Space, algorithm: Any, population: int, crossover: int, mutation: int, slack: int,
) -> None:  # fmt: skip
    limit = space.parameters(space.smallest) + slack
    chosen = SearchSettings(
        algorithm=algorithm, population=population, generations=3, parents=2,
        crossover=crossover, mutation=mutation, max_parameters=limit,
    )  # fmt: skip
    found = proposals(list(evolve(space, chosen, 0, answer(failing=4))))
    genomes = [proposal.genome for proposal in found]
    feasible = set(space.feasible(limit))
    assert len(set(genomes)) == len(genomes)
    assert set(genomes) <= feasible
    assert len(genomes) == min(len(feasible), population + 3 * (crossover + mutation))


# ---- what it depends on


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_proposes_the_same_and_another_one_does_not(
    vit_b: Space, searched: Searched, algorithm: str
) -> None:
    one, same, other = (
        searched(vit_b, seed, algorithm=algorithm, generations=4, max_parameters=300_000) for seed in (7, 7, 8)
    )
    assert one == same
    assert not {p.genome for p in proposals(one)} & {p.genome for p in proposals(other)}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_generation_depends_on_what_was_recorded_and_not_on_draws_made_elsewhere(
    vit_b: Space, answer: Callable[..., Evaluate], algorithm: Any
) -> None:
    import random

    import numpy as np

    def disturbing(generation: int, wanted: Sequence[Proposal], survivors: Sequence[Scored]) -> Sequence[Scored | None]:
        random.random()
        np.random.seed(generation)  # noqa: NPY002 (what a library may do to the global generator)
        return answer(failing=5)(generation, wanted, survivors)

    chosen = SearchSettings(algorithm=algorithm, generations=4)
    undisturbed = list(evolve(vit_b, chosen, 0, answer(failing=5)))
    assert list(evolve(vit_b, chosen, 0, disturbing)) == undisturbed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_generation_draws_from_the_seed_and_its_number_alone(
    vit_b: Space, searched: Searched, algorithm: str
) -> None:
    """A shorter run is the beginning of a longer one, whatever earlier generations drew."""
    long, short = (searched(vit_b, algorithm=algorithm, generations=count) for count in (6, 3))
    assert long[:4] == short


def test_random_search_looks_at_no_answer(vit_b: Space, searched: Searched) -> None:
    answers = [proposals(searched(vit_b, algorithm="random", failing=failing, generations=4)) for failing in (0, 1, 2)]
    assert answers[0] == answers[1] == answers[2]
    assert {proposal.operator for proposal in answers[0]} == {"random"}


@pytest.mark.parametrize("limit", [None, 600_000, 200_000], ids=str)
def test_a_stratified_first_generation_spans_the_sizes(vit_b: Space, searched: Searched, limit: int | None) -> None:
    stratified, uniform = (
        searched(vit_b, generations=0, first=first, max_parameters=limit)[0].proposals
        for first in ("stratified", "uniform")
    )
    assert {proposal.operator for proposal in stratified} == {"stratified"}
    largest = limit or vit_b.parameters(vit_b.largest)
    tenths = [{min(9, 10 * proposal.params // largest) for proposal in each} for each in (stratified, uniform)]
    assert len(tenths[0]) == 10, "every tenth of what is feasible"
    assert len(tenths[1]) < 8
    early = {min(9, 10 * proposal.params // largest) for proposal in stratified[:25]}
    assert len(early) >= 7, "also where a budget ends it early"


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_no_two_proposals_mean_the_same(answer: Callable[..., Evaluate], seed: int) -> None:
    class Mirrored(Space):
        """A genome and its mirror image are one subnet."""

        def canonical(self, genome: str) -> str:
            return min(genome, genome[::-1])

    forms = (Form("lora4", "4", 9), Form("vector", "v", 4), Form("none", "n", 0))
    space = Mirrored(tuple(Gene(f"g{place}", forms) for place in range(5)))
    chosen = SearchSettings(population=20, generations=20, parents=4, crossover=5, mutation=5)
    found = proposals(list(evolve(space, chosen, seed, answer())))
    assert len({space.canonical(proposal.genome) for proposal in found}) == len(found)
    assert len(found) == (3**5 + 3**3) // 2, "all there are"
    assert [proposal.id for proposal in found] == list(range(len(found)))
    again = list(evolve(space, chosen, seed, answer(), [space.smallest, "4nnnn", "nnnn4"]))
    assert [proposal.genome for proposal in again[0].proposals] == [space.smallest, "4nnnn"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("limit", [None, 300])
def test_a_search_of_chains_proposes_genomes_of_the_rule_and_is_replayed(
    answer: Callable[..., Evaluate], algorithm: Any, limit: int | None
) -> None:
    forms = (Form("rank10", "A", 100), Form("rank1", "1", 10), Form("none", ".", 0))
    genes = tuple(Gene(f"blocks.{place // 2}.{'pq'[place % 2]}", forms) for place in range(16))
    space = Space(genes, tuple(Chain(tuple(range(first, 16, 2)), (0, 2, 4, 6, 8)) for first in range(2)))
    sizes = {"population": 20, "generations": 6, "parents": 5, "crossover": 10, "mutation": 10}
    chosen = SearchSettings(algorithm=algorithm, first="stratified", max_parameters=limit, **sizes)
    whole = list(evolve(space, chosen, 0, answer(failing=5)))
    found = proposals(whole)
    assert len({each.genome for each in found}) == len(found) == 140
    for each in found:
        space.require(each.genome)
        assert each.params == space.parameters(each.genome) <= (limit or each.params)
    known = {each.proposal.id: each for generation in whole for each in generation.scored}

    def remembering(generation: int, wanted: Sequence[Proposal], survivors: Sequence[Scored]) -> list[Scored | None]:
        return [known.get(each.id) for each in wanted]

    assert list(evolve(space, chosen, 0, remembering)) == whole


@pytest.mark.parametrize("first", ["uniform", "stratified"])
def test_generation_0_is_the_same_for_all_that_select(vit_b: Space, searched: Searched, first: str) -> None:
    evolution, nsga2, random = (
        searched(vit_b, algorithm=name, generations=0, first=first)[0].proposals for name in ALGORITHMS
    )
    assert evolution == nsga2
    assert (random == evolution) == (first == "uniform"), "random search is the baseline: it always draws uniformly"


# ---- parents, survivors, failures


@pytest.mark.parametrize("algorithm", ["evolution", "nsga2"])
@pytest.mark.parametrize("failing", [0, 3])
def test_parents_are_recorded_and_were_survivors_of_the_generation_before(
    vit_b: Space, searched: Searched, algorithm: str, failing: int
) -> None:
    generations = searched(vit_b, failing=failing, algorithm=algorithm, generations=6)
    by_id = {proposal.id: proposal for proposal in proposals(generations)}
    for before, after in itertools.pairwise(generations):
        eligible = {survivor.proposal.id for survivor in before.survivors}
        for child in after.proposals:
            assert set(child.parents) <= eligible
            assert len(child.parents) == {"crossover": 2, "mutation": 1}.get(child.operator, 0)
            if child.operator == "crossover":
                assert by_id[child.parents[0]].genome != by_id[child.parents[1]].genome
                sources = zip(*(by_id[parent].genome for parent in child.parents), strict=True)
                assert all(letter in pair for letter, pair in zip(child.genome, sources, strict=True))
            if child.operator == "mutation":
                assert child.genome != by_id[child.parents[0]].genome
        operators = [child.operator for child in after.proposals]
        assert operators == ["crossover"] * 25 + ["mutation"] * 25


@pytest.mark.parametrize("rank", ["loss", "accuracy"])
@pytest.mark.parametrize("failing", [0, 3])
def test_survivors_of_the_evolution_are_the_best_of_all_so_far(
    vit_b: Space, searched: Searched, failing: int, rank: str
) -> None:
    so_far: list[Scored] = []
    for generation in searched(vit_b, failing=failing, generations=6, rank=rank):
        so_far += generation.scored
        by_accuracy = sorted(so_far, key=lambda each: (-each.accuracy, each.loss, each.proposal.id))
        by_loss = sorted(so_far, key=lambda each: (each.loss, -each.accuracy, each.proposal.id))
        assert list(generation.survivors) == (by_loss if rank == "loss" else by_accuracy)[:10]


def test_survivors_of_nsga2_hold_the_front_of_all_so_far(vit_b: Space, searched: Searched) -> None:
    so_far: list[Scored] = []
    for generation in searched(vit_b, failing=3, algorithm="nsga2", generations=6):
        so_far += generation.scored
        front = {each.proposal.id for each in selection.front(so_far)}
        assert front <= {each.proposal.id for each in generation.survivors}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_last_generation_is_ranked(small: Space, algorithm: Any) -> None:
    """The reference never ranks its last 50; here the best of them can be chosen."""
    last: list[int] = []

    def later_is_better(
        generation: int, wanted: Sequence[Proposal], survivors: Sequence[Scored]
    ) -> list[Scored | None]:
        last[:] = [proposal.id for proposal in wanted]
        return [Scored(proposal, proposal.id / 100, 1.0) for proposal in wanted]

    sizes = SearchSettings(algorithm=algorithm, population=4, generations=3, parents=2, crossover=2, mutation=2)
    *_, final = evolve(small, sizes, 0, later_is_better)
    best = max(final.survivors, key=lambda each: each.accuracy)
    assert best.proposal.id == max(last)
    assert final.number == 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_in_which_everything_fails_still_proposes_all_and_has_no_survivor(
    vit_b: Space, searched: Searched, algorithm: str
) -> None:
    generations = searched(vit_b, failing=1, algorithm=algorithm, generations=2)
    assert len(proposals(generations)) == 150
    assert all(not generation.survivors and not generation.scored for generation in generations)
    assert all(not proposal.parents for proposal in proposals(generations))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_failure_neither_survives_nor_becomes_a_parent(vit_b: Space, searched: Searched, algorithm: str) -> None:
    generations = searched(vit_b, failing=2, algorithm=algorithm, generations=6)
    worked = {each.proposal.id for generation in generations for each in generation.scored}
    assert 0 < len(worked) < len(proposals(generations))
    for generation in generations:
        assert {each.proposal.id for each in generation.survivors} <= worked
        assert {parent for proposal in generation.proposals for parent in proposal.parents} <= worked
