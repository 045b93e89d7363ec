"""Intervals and paired tests, held against scipy and against what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from glora_search.statistics import binomial_test, mcnemar, paired_error, wilson

answers = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*(st.lists(st.booleans(), min_size=n, max_size=n) for _ in range(2)))
)


def packed(right: list[bool]) -> bytes:
    return np.packbits(right).tobytes()


@given(st.integers(1, 500), st.data())
def test_an_interval_is_scipys_and_holds_the_proportion(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    low, high = wilson(right / n, n)
    theirs = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-4)
    assert 0 <= low <= right / n <= high <= 1


@given(st.floats(0, 1), st.integers(1, 500))
def test_more_examples_narrow_an_interval(correct: float, n: int) -> None:
    (low, high), (lower, higher) = wilson(correct, 4 * n), wilson(correct, n)
    assert high - low < higher - lower


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_exact_test_is_scipys_binomial_test(b: int, c: int) -> None:
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert binomial_test(b, c) == pytest.approx(expected, rel=1e-9)


@given(answers)
def test_only_examples_that_one_of_them_got_right_count(pair: tuple[list[bool], list[bool]]) -> None:
    ours, theirs = pair
    found = mcnemar(packed(ours), packed(theirs), len(ours))
    b = sum(one and not other for one, other in zip(ours, theirs, strict=True))
    c = sum(other and not one for one, other in zip(ours, theirs, strict=True))
    assert found == binomial_test(b, c)
    more = [True, False, True], [True, False, True]
    assert mcnemar(packed(ours + more[0]), packed(theirs + more[1]), len(ours) + 3) == found


@given(answers)
def test_a_test_is_fair_to_both_and_sure_of_nothing_against_itself(pair: tuple[list[bool], list[bool]]) -> None:
    ours, theirs = (packed(each) for each in pair)
    n = len(pair[0])
    assert mcnemar(ours, theirs, n) == mcnemar(theirs, ours, n)
    assert mcnemar(ours, ours, n) == 1


def test_one_sided_disagreement_is_the_surer_the_more_there_is_of_it() -> None:
    found = [binomial_test(0, c) for c in range(1, 2000)]
    assert found == sorted(found, reverse=True)
    assert found[4] == 2 * 0.5**5


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=50))
def test_the_error_of_a_mean_of_differences_is_scipys(differences: list[float]) -> None:
    assert paired_error(np.array(differences)) == pytest.approx(stats.sem(differences), abs=1e-9)


def test_one_difference_says_nothing_of_its_error() -> None:
    assert paired_error(np.array([0.3])) == float("inf")
