"""An evaluation is paid for once, by whoever needs it first; what a campaign recorded answers it before all others."""

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db import memo
from db.engine import writing
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


def test_what_no_candidate_asked_for_is_remembered_for_everybody(both: Store, completed, key) -> None:
    assert both.remember(key, "aba", completed(0.7)) == completed(0.7)
    assert both.remember(key, "aba", completed(0.9)) == completed(0.7), "the first one stays"
    for name in ("digits", "other"):
        assert both.known(name, key, ["aaa", "aba"]) == {"aba": completed(0.7)}
        assert both.progress(name).completed == 0


@pytest.mark.parametrize("part", ["fingerprint", "split", "numerics"])
def test_another_key_knows_nothing(both: Store, completed, key: EvaluationKey, part: str) -> None:
    both.record("digits", 0, key, completed(0.7))
    both.record("digits", 1, key, FAILED)
    assert both.known("other", replace(key, **{part: "another"}), ["aaa", "aba"]) == {}


def test_what_a_campaign_recorded_answers_it_under_every_key(both: Store, completed, key: EvaluationKey) -> None:
    smaller = replace(key, numerics="bf16 in smaller chunks")
    both.record("digits", 0, smaller, completed(0.7))
    both.record("digits", 1, smaller, FAILED)
    assert both.known("digits", key, ["aba", "aaa"]) == {"aaa": completed(0.7), "aba": FAILED}


def test_what_a_campaign_recorded_answers_it_before_what_others_did(both: Store, completed, key: EvaluationKey) -> None:
    both.record("digits", 0, replace(key, numerics="bf16 in smaller chunks"), completed(0.7))
    both.record("other", 0, key, completed(0.8))
    assert both.known("digits", key, ["aaa"]) == {"aaa": completed(0.7)}


def test_a_replay_writes_nothing_under_a_key_that_nothing_was_measured_with(both: Store, completed, key) -> None:
    both.record("digits", 0, replace(key, numerics="bf16 in smaller chunks"), completed(0.7))
    for genome, outcome in both.known("digits", key, ["aaa"]).items():
        assert both.record("digits", 0, key, outcome) == completed(0.7)
        assert both.known("other", key, [genome]) == {}


def test_what_an_evaluation_that_is_gone_had_right_is_not_known(both: Store, completed, key) -> None:
    both.record("digits", 0, key, completed(0.7))
    with writing(both._engine) as session:
        session.execute(text("DELETE FROM evaluations"))
    assert both.known("digits", key, ["aaa"]) == {"aaa": replace(completed(0.7), correct=None)}


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


RACED = Outcome(Status.RACED, seconds=0.1, worker="w0", bound=0.4, seen=50)


def test_what_was_raced_is_known_to_its_own_campaign_alone(both: Store, key) -> None:
    both.record("digits", 0, key, RACED)
    assert both.known("other", key, ["aaa"]) == {}
    assert both.known("digits", key, ["aaa"]) == {"aaa": RACED}
    assert both.remembered(key.fingerprint, key.split, key.numerics) == []


def test_what_was_raced_stays_raced_though_somebody_else_measured_it(both: Store, completed, key) -> None:
    both.record("digits", 0, key, RACED)
    both.record("other", 0, key, completed(0.7))
    assert both.known("digits", key, ["aaa"]) == {"aaa": RACED}
    assert both.record("digits", 0, key, RACED) == RACED, "told again by a replay"


def test_many_genomes_are_asked_for_at_once(both: Store, completed, key) -> None:
    both.record("digits", 1, key, completed(0.7))
    assert both.known("other", key, [*map(str, range(3000)), "aba"]) == {"aba": completed(0.7)}


OUTCOMES = {
    "completed": Outcome(Status.COMPLETED, 0.5, 1.0, 0.1, "w0", b"\x0f"),
    "failed": FAILED,
    "raced": RACED,
}
events = st.lists(
    st.tuples(st.sampled_from(["other", "third"]), st.integers(0, 3), st.sampled_from([*OUTCOMES, "retry"])),
    max_size=12,
)
runs = count()  # each example gets campaigns and a key of its own


@settings(max_examples=25)
@given(own=st.lists(st.sampled_from([None, *OUTCOMES]), min_size=4, max_size=4), elsewhere=events)
def test_whatever_others_do_a_replay_is_told_what_was_recorded(
    shared: Store, begin, proposals, own: list[str | None], elsewhere: list[tuple[str, int, str]]
) -> None:
    run, asked = next(runs), ["aaa", "aba", "bba", "dba"]
    key = EvaluationKey("fingerprint", f"split {run}", "bf16")
    names = {name: f"{name} {run}" for name in ("mine", "other", "third")}
    for name in names.values():
        begin(shared, name)
        shared.propose(name, 0, proposals(asked))
    for number, how in enumerate(own):
        if how is not None:
            measured = key if number % 2 else replace(key, numerics="bf16 in smaller chunks")
            shared.record(names["mine"], number, measured, OUTCOMES[how])
    kept = {genome: OUTCOMES[how] for genome, how in zip(asked, own, strict=True) if how is not None}
    proposed = {genome for genome, how in zip(asked, own, strict=True) if how is None}
    for name, number, what in elsewhere:
        if what == "retry":
            shared.retry(names[name])
        else:
            shared.record(names[name], number, key, OUTCOMES[what])
    found = shared.known(names["mine"], key, asked)
    assert {genome: outcome for genome, outcome in found.items() if genome not in proposed} == kept
    assert all(found[genome].status == Status.COMPLETED for genome in found.keys() & proposed)


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
