"""A result is accepted once, also from a worker that was thought dead."""

from dataclasses import replace

import pytest

from db import results, schema
from db.records import EvaluationKey, Outcome, Status
from db.store import Store

DEAD = Outcome(Status.FAILED, seconds=60.0, worker="w1", error="no answer within 60 s")


@pytest.fixture
def falsely_dead(searched: Store, proposals, key: EvaluationKey) -> Store:
    """`digits`, whose candidate 0 failed because its worker was thought dead."""
    searched.propose("digits", 0, proposals(["aaa", "aba"]))
    assert searched.record("digits", 0, key, DEAD) == DEAD
    return searched


def test_a_late_success_takes_the_place_of_a_failure_and_twice_is_once(falsely_dead: Store, completed, key) -> None:
    for _ in range(2):
        assert falsely_dead.record("digits", 0, key, completed(0.7)) == completed(0.7)
        found = falsely_dead.candidate("digits", 0)
        assert (found.status, found.accuracy, found.worker, found.error) == (Status.COMPLETED, 0.7, "w0", None)
    assert falsely_dead.known("digits", key, ["aaa"]) == {"aaa": completed(0.7)}
    assert falsely_dead.progress("digits").failed == 0
    assert schema.check(falsely_dead._engine).ok


def test_a_success_after_the_next_generation_is_kept_for_others(
    falsely_dead: Store, begin, proposals, completed, key
) -> None:
    falsely_dead.propose("digits", 1, proposals(["dda"], first=2))
    before = falsely_dead.candidates("digits")
    for _ in range(2):
        assert falsely_dead.record("digits", 0, key, completed(0.7)) == DEAD
    assert falsely_dead.candidates("digits") == before
    begin(falsely_dead, "other")
    assert falsely_dead.known("digits", key, ["aaa"]) == {"aaa": DEAD}
    assert falsely_dead.known("other", key, ["aaa"]) == {"aaa": completed(0.7)}


def test_without_looking_for_a_later_generation_a_replay_would_differ(
    falsely_dead: Store, proposals, completed, key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_in_time", lambda *_: True)
    falsely_dead.propose("digits", 1, proposals(["dda"], first=2))
    falsely_dead.record("digits", 0, key, completed(0.7))
    assert falsely_dead.known("digits", key, ["aaa"]) != {"aaa": DEAD}


def test_a_generation_rewound_lets_a_late_success_in_again(falsely_dead: Store, proposals, completed, key) -> None:
    falsely_dead.propose("digits", 1, proposals(["dda"], first=2))
    falsely_dead.rewind("digits", 0)
    assert falsely_dead.record("digits", 0, key, completed(0.7)).status == Status.COMPLETED


def test_a_late_success_may_come_under_another_key(falsely_dead: Store, completed, key: EvaluationKey) -> None:
    smaller = replace(key, numerics="bf16 in smaller chunks")
    assert falsely_dead.record("digits", 0, smaller, completed(0.7)) == completed(0.7)
    assert falsely_dead.known("digits", key, ["aaa"]) == {"aaa": completed(0.7)}
    assert schema.check(falsely_dead._engine).ok


@pytest.mark.parametrize("late", [replace(DEAD, error="late"), Outcome(Status.RACED, bound=0.1)])
def test_nothing_else_that_is_late_changes_a_failure(falsely_dead: Store, key, late: Outcome) -> None:
    before = falsely_dead.candidate("digits", 0)
    assert falsely_dead.record("digits", 0, key, late) == DEAD
    assert falsely_dead.candidate("digits", 0) == before


def test_what_is_returned_is_what_the_campaign_keeps(falsely_dead: Store, begin, proposals, completed, key) -> None:
    begin(falsely_dead, "other")
    falsely_dead.propose("other", 0, proposals(["aaa", "aba"]))
    assert falsely_dead.record("other", 1, key, completed(0.8)) == completed(0.8)
    assert falsely_dead.record("digits", 1, key, completed(0.9)) == completed(0.8), "the memo's first"
    assert falsely_dead.record("digits", 1, key, DEAD) == completed(0.8)
    assert falsely_dead.record("digits", 0, key, completed(float("nan"))).status == Status.FAILED
