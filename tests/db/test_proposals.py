"""Replaying a search records nothing new; a search that differs is told the first difference."""

from dataclasses import replace

import pytest

from db.errors import ReplayMismatch
from db.records import Proposal
from db.store import Store

FIRST = [Proposal(0, "aaa", "random", (), 0), Proposal(1, "aba", "random", (), 5)]
SECOND = [Proposal(2, "bba", "crossover", (0, 1), 9)]


@pytest.fixture
def proposed(searched: Store) -> Store:
    searched.propose("digits", 0, FIRST)
    searched.propose("digits", 1, SECOND)
    return searched


def test_a_replay_changes_nothing(proposed: Store) -> None:
    before = proposed.candidates("digits")
    proposed.propose("digits", 0, FIRST)
    proposed.propose("digits", 1, SECOND)
    assert proposed.candidates("digits") == before


def test_a_replay_goes_on_where_the_search_was_cut(proposed: Store) -> None:
    more = Proposal(3, "bbp", "mutation", (2,), 9)
    proposed.propose("digits", 1, [*SECOND, more])
    assert [candidate.id for candidate in proposed.candidates("digits")] == [0, 1, 2, 3]
    assert proposed.candidate("digits", 3).parents == (2,)


@pytest.mark.parametrize(
    ("different", "generation", "says"),
    [
        (replace(SECOND[0], genome="bda"), 1, "the genome of candidate 2 was 'b' at gene 1, now 'd'"),
        (replace(SECOND[0], genome="bb"), 1, "the genome of candidate 2 had 3 genes, now 2"),
        (replace(SECOND[0], operator="mutation"), 1, "the operator of candidate 2 was 'crossover', now 'mutation'"),
        (replace(SECOND[0], parents=(1, 0)), 1, r"the parents of candidate 2 was \[0, 1\], now \[1, 0\]"),
        (SECOND[0], 2, "the generation of candidate 2 was 1, now 2"),
    ],
)
def test_a_different_replay_is_told_the_first_difference(
    proposed: Store, different: Proposal, generation: int, says: str
) -> None:
    with pytest.raises(ReplayMismatch, match=says):
        proposed.propose("digits", generation, [different])


def test_ids_are_dense_and_genomes_unique_and_a_refused_generation_leaves_no_row(proposed: Store) -> None:
    before = proposed.candidates("digits")
    fine = Proposal(3, "bbp", "random", (), 0)
    for wrong, says in [
        (Proposal(5, "dda", "random", (), 0), "expected candidate 4 next, got 5"),
        (Proposal(4, "aba", "random", (), 0), "candidate 4 repeats the genome of candidate 1"),
        (Proposal(4, "bbp", "random", (), 0), "candidate 4 repeats the genome of candidate 3"),
    ]:
        with pytest.raises(ReplayMismatch, match=says):
            proposed.propose("digits", 2, [fine, wrong])
    assert proposed.candidates("digits") == before


def test_thousands_of_long_genomes_are_proposed_and_replayed(searched: Store) -> None:
    many = [Proposal(i, f"{i:04d}" + "d" * 3000, "random", (), i) for i in range(1200)]
    searched.propose("digits", 0, many)
    searched.propose("digits", 0, many)
    assert searched.progress("digits").proposed == 1200
