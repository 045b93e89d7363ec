"""An evaluation is paid for once, by whoever needs it first; failures are one's own."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import memo
from db.records import EvaluationKey, Outcome, Status
from db.store import Store

FAILED = Outcome(Status.FAILED, seconds=1.0, worker="w1", error="out of memory")


@pytest.fixture
def both(searched: Store, begin, proposals) -> Store:
    """Two campaigns with the same two candidates."""
    begin(searched, "other")
    for name in ("digits", "other"):
        searched.propose(name, 0, proposals(["aaa", "aba"]))
    return searched


def test_a_completed_result_answers_every_campaign_with_that_key(both: Store, completed, key) -> None:
    both.record("digits", 0, key, completed(0.7))
    for name in ("digits", "other"):
        assert both.known(name, key, ["aaa", "aba", "never"]) == {"aaa": completed(0.7)}


@pytest.mark.parametrize("part", ["fingerprint", "split", "numerics"])
def test_another_key_knows_nothing(both: Store, completed, key: EvaluationKey, part: str) -> None:
    both.record("digits", 0, key, completed(0.7))
    both.record("digits", 1, key, FAILED)
    assert both.known("digits", replace(key, **{part: "another"}), ["aaa", "aba"]) == {}


def test_a_failure_answers_its_own_campaign_only(both: Store, key) -> None:
    both.record("digits", 0, key, FAILED)
    assert both.known("digits", key, ["aaa"]) == {"aaa": FAILED}
    assert both.known("other", key, ["aaa"]) == {}


def test_a_success_elsewhere_takes_the_place_of_a_failure_but_not_in_the_campaign_that_failed(
    both: Store, begin, completed, key
) -> None:
    both.record("digits", 0, key, FAILED)
    both.record("other", 0, key, completed(0.7))
    begin(both, "third")
    assert both.known("third", key, ["aaa"]) == {"aaa": completed(0.7)}
    assert both.known("digits", key, ["aaa"]) == {"aaa": FAILED}


def test_the_first_completed_result_stays_for_everyone(both: Store, completed, key) -> None:
    both.record("digits", 0, key, completed(0.7))
    both.record("other", 0, key, completed(0.8))
    assert both.candidate("other", 0).accuracy == 0.7
    both.record("digits", 0, key, FAILED)
    assert both.known("other", key, ["aaa"]) == {"aaa": completed(0.7)}


def test_what_was_raced_is_never_known(both: Store, key) -> None:
    both.record("digits", 0, key, Outcome(Status.RACED, accuracy=0.2, loss=2.0, bound=0.4))
    for name in ("digits", "other"):
        assert both.known(name, key, ["aaa"]) == {}


def test_many_genomes_are_asked_for_at_once(both: Store, completed, key) -> None:
    both.record("digits", 1, key, completed(0.7))
    assert both.known("other", key, [*map(str, range(3000)), "aba"]) == {"aba": completed(0.7)}


numbers = st.one_of(st.none(), st.floats(), st.floats(0, 1))


@given(accuracy=numbers, loss=numbers)
def test_only_finite_numbers_are_ever_completed(accuracy: float | None, loss: float | None) -> None:
    stored = memo.sound(Outcome(Status.COMPLETED, accuracy, loss, error=None))
    if stored.status == Status.COMPLETED:
        assert 0 <= stored.accuracy <= 1
        assert abs(stored.loss) < float("inf")
    else:
        assert (stored.status, stored.accuracy, stored.loss) == (Status.FAILED, None, None)
        assert "expected an accuracy in [0, 1]" in stored.error


def test_a_result_that_is_no_number_is_a_failure_in_the_store(both: Store, completed, key) -> None:
    both.record("digits", 0, key, completed(float("nan")))
    assert both.candidate("digits", 0).status == Status.FAILED
    assert both.candidates("digits", front=True) == []
    assert both.progress("digits").best is None


@given(st.lists(st.text(max_size=3), min_size=8, max_size=8))
def test_different_evaluations_have_different_digests(parts: list[str]) -> None:
    one, other = EvaluationKey(*parts[:3]), EvaluationKey(*parts[4:7])
    assert (one.digest(parts[3]) == other.digest(parts[7])) == (parts[:4] == parts[4:])
