"""Which finalist is chosen, and which are said to be tied with it, against the definitions by brute force."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from db.records import Candidate, Status
from glora_search.choice import behind, choose, compared, is_near, sure
from glora_search.finalists import Finalist
from glora_search.ranking import Rank
from glora_search.statistics import mcnemar, wilson
from supernet.evaluation import QUANTUM
from workers.evaluator import Evaluation

N = 16  # examples
RANKS: tuple[Rank, ...] = ("loss", "accuracy")


def finalist(number: int, params: int, right: list[bool], quanta: list[int], looks: int = 1) -> Finalist:
    now = datetime.now(UTC)
    nothing = (None, None, None, None, None, None, None)
    candidate = Candidate(number, f"g{number}", 0, "random", (), params, Status.COMPLETED, 0.5, 1.0, *nothing, now, now)
    loss = sum(quanta) * QUANTUM / N
    score = Evaluation(sum(right) / N, loss, params, np.packbits(right).tobytes(), 0.1, "fake")
    return Finalist(candidate, score, np.array(quanta), looks)


# few values, so that ties are common
measured = st.tuples(
    st.integers(0, 4),
    st.lists(st.booleans(), min_size=N, max_size=N),
    st.lists(st.sampled_from([0, 1, 2, 60]), min_size=N, max_size=N),
)
fields = st.lists(measured, min_size=1, max_size=8).map(
    lambda rows: [finalist(number, *row) for number, row in enumerate(rows)]
)


@given(fields, st.sampled_from(RANKS))
def test_the_best_is_first_by_rank(field: list[Finalist], rank: Rank) -> None:
    keys = {
        "loss": lambda each: (each.loss, -each.score.accuracy, each.candidate.id),
        "accuracy": lambda each: (-each.score.accuracy, each.loss, each.candidate.id),
    }
    assert choose(field, rank, "best") is min(field, key=keys[rank])


@given(fields, st.sampled_from(RANKS))
def test_the_smallest_tied_is_the_smallest_within_one_standard_error(field: list[Finalist], rank: Rank) -> None:
    best, chosen = choose(field, rank, "best"), choose(field, rank, "smallest_tied")
    near = [each for each in field if each is best or within_one_error(each, best)]
    assert chosen in near
    assert chosen.candidate.params == min(each.candidate.params for each in near)


def within_one_error(one: Finalist, best: Finalist) -> bool:
    differences = one.quanta * QUANTUM - best.quanta * QUANTUM
    return bool(differences.mean() <= stats.sem(differences) + 1e-12)


@given(fields, st.sampled_from(RANKS), st.randoms())
def test_the_choice_does_not_depend_on_the_order_of_finalists(
    field: list[Finalist], rank: Rank, random: object
) -> None:
    turned = list(field)
    random.shuffle(turned)  # type: ignore[attr-defined]
    assert choose(turned, rank, "best") is choose(field, rank, "best")
    assert choose(turned, rank, "smallest_tied") is choose(field, rank, "smallest_tied")


@given(fields, st.sampled_from(RANKS), st.integers(0, 9), st.integers(1, 2000))
def test_the_method_is_chosen_unless_the_best_of_so_many_is_surely_better(
    field: list[Finalist], rank: Rank, number: int, candidates: int
) -> None:
    best, chosen = choose(field, rank, "best"), choose(field, rank, "surely_better", f"g{number}", candidates)
    if number >= len(field):
        assert chosen is best, "the search has not scored the method"
        return
    method = field[number]
    differences = method.quanta * QUANTUM - best.quanta * QUANTUM
    errors = stats.t.isf(0.05 / candidates, N - 1)
    surely = differences.mean() > errors * stats.sem(differences) + 1e-12
    assert chosen is (best if surely and method is not best else method)


def test_the_more_candidates_the_surer_the_best_has_to_be() -> None:
    """A loss lower by 2 standard errors is enough for one candidate, and not for fifty."""
    quanta = [10] * N
    method = finalist(0, 9, [True] * N, [20 + 19 * (-1) ** i for i in range(N)])
    best = finalist(1, 9, [True] * N, quanta)
    assert 1.96 < behind(method, best) < 2.1
    assert choose([method, best], "loss", "surely_better", "g0", 1) is best
    assert choose([method, best], "loss", "surely_better", "g0", 50) is method


@pytest.mark.parametrize("examples", [5, 20, 200])
def test_the_best_of_so_many_that_are_no_better_is_seldom_surely_better(examples: int) -> None:
    """In one search of twenty at most, however few the images are."""
    draws = np.random.default_rng(0).normal(size=(20_000, examples))
    ahead = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / examples**0.5)
    assert (ahead > sure(50, examples)).mean() == pytest.approx(0.05 / 50, abs=7e-4)
    assert sure(50, 1) == np.inf


def test_a_search_without_a_method_chooses_its_best() -> None:
    best, other = finalist(0, 9, [True] * N, [10] * N), finalist(1, 2, [True] * N, [0, 21] * (N // 2))
    assert choose([other, best], "loss", "surely_better") is best
    assert choose([other, best], "loss", "surely_better", "g1") is other


def test_a_loss_that_is_higher_on_every_image_alike_is_not_near() -> None:
    best, worse = (finalist(number, 5 - number, [True] * N, [10 + number] * N) for number in range(2))
    assert is_near(best, best)
    assert not is_near(worse, best), "the difference has no error at all"
    assert choose([best, worse], "loss", "smallest_tied") is best


def test_a_loss_that_is_lower_on_half_of_the_images_is_near() -> None:
    best = finalist(0, 9, [True] * N, [10] * N)
    other = finalist(1, 2, [True] * N, [0, 21] * (N // 2))
    assert other.loss > best.loss
    assert choose([best, other], "loss", "smallest_tied") is other


def test_views_count_for_a_loss_as_the_images_themselves_do() -> None:
    once, thrice = finalist(0, 1, [True] * N, [6] * N), finalist(0, 1, [True] * N, [6] * N, looks=3)
    assert once.loss == once.score.loss
    assert thrice.loss == pytest.approx(once.loss / 3)


@given(fields)
def test_the_report_says_who_is_tied_with_the_chosen_one(field: list[Finalist]) -> None:
    chosen = choose(field, "loss", "best")
    found = json.loads(json.dumps(compared(field, chosen, "loss")))
    assert found["best"] == {"id": chosen.candidate.id, "standard_errors": 0.0}
    assert [row["id"] for row in found["finalists"]] == [each.candidate.id for each in field]
    tied = [
        each for each in field if each is not chosen and mcnemar(each.score.correct, chosen.score.correct, N) > 0.05
    ]
    assert found["tied"]["count"] == len(tied)
    if tied:
        smallest = min(tied, key=lambda each: (each.candidate.params, each.candidate.id)).candidate
        assert (found["tied"]["smallest"]["id"], found["tied"]["smallest"]["params"]) == (smallest.id, smallest.params)
    else:
        assert found["tied"]["smallest"] is None
    assert found["val_interval"] == list(wilson(chosen.score.accuracy, N))
