"""What DEAP selects is what the definitions say, compared by brute force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.records import Proposal
from glora_search.ranking import Rank
from glora_search.selection import Scored, best, front, nsga2


def scored(number: int, accuracy: float, loss: float, params: int) -> Scored:
    return Scored(Proposal(number, f"g{number}", "random", (), params), accuracy, loss)


# few values, so that ties and equal fitnesses are common
figures = st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.755, 1.0]), st.sampled_from([0.1, 0.2, 3.0]), st.integers(0, 6))
pools = st.lists(figures, max_size=40).map(lambda rows: [scored(number, *row) for number, row in enumerate(rows)])
counts = st.integers(1, 50)
ranks: st.SearchStrategy[Rank] = st.sampled_from(["loss", "accuracy"])


def dominates(one: Scored, other: Scored) -> bool:
    no_worse = one.accuracy >= other.accuracy and one.proposal.params <= other.proposal.params
    return no_worse and (one.accuracy, one.proposal.params) != (other.accuracy, other.proposal.params)


def undominated(pool: list[Scored]) -> set[int]:
    return {one.proposal.id for one in pool if not any(dominates(other, one) for other in pool)}


def ids(pool: list[Scored]) -> list[int]:
    return [each.proposal.id for each in pool]


@given(pools, counts)
def test_the_best_by_accuracy_are_sorted_by_accuracy_then_loss_then_id(pool: list[Scored], count: int) -> None:
    by_hand = sorted(pool, key=lambda each: (-each.accuracy, each.loss, each.proposal.id))[:count]
    assert best(pool, count, "accuracy") == by_hand


@given(pools, counts)
def test_the_best_by_loss_are_sorted_by_loss_then_accuracy_then_id(pool: list[Scored], count: int) -> None:
    by_hand = sorted(pool, key=lambda each: (each.loss, -each.accuracy, each.proposal.id))[:count]
    assert best(pool, count, "loss") == by_hand


@given(pools)
def test_the_front_is_what_nothing_dominates(pool: list[Scored]) -> None:
    assert set(ids(front(pool))) == undominated(pool)
    assert ids(front(pool)) == [
        e.proposal.id for e in sorted(front(pool), key=lambda e: (e.proposal.params, e.proposal.id))
    ]


@given(pools, counts)
def test_nsga2_keeps_whole_fronts_before_it_breaks_one(pool: list[Scored], count: int) -> None:
    kept, rest = set(ids(nsga2(pool, count))), list(pool)
    assert len(kept) == min(count, len(pool))
    while rest:
        first = undominated(rest)
        if not first <= kept:  # the front that is broken: none of a later one is kept
            assert kept & set(ids(rest)) <= first
            break
        rest = [each for each in rest if each.proposal.id not in first]


@given(pools, counts, st.randoms(), ranks)
def test_selection_does_not_depend_on_the_order_of_arrival(
    pool: list[Scored], count: int, random: object, rank: Rank
) -> None:
    arrived = list(pool)
    random.shuffle(arrived)  # type: ignore[attr-defined]
    assert best(arrived, count, rank) == best(pool, count, rank)
    assert nsga2(arrived, count) == nsga2(pool, count)
    assert front(arrived) == front(pool)


@pytest.mark.parametrize("rank", ["loss", "accuracy"])
def test_nothing_is_selected_from_nothing(rank: Rank) -> None:
    assert best([], 3, rank) == nsga2([], 3) == front([]) == []
