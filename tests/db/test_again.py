"""Starting over, in part or as a whole: what was paid for stays."""

from datetime import UTC, datetime, timedelta

import pytest

from db import schema
from db.errors import Held, NotFound, ReplayMismatch
from db.records import Outcome, Proposal, Status, Supernet
from db.store import Store

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FAILED = Outcome(Status.FAILED, accuracy=0.1, seconds=1.0, worker="w1", error="out of memory")


@pytest.fixture
def scored(searched: Store, begin, proposals, completed, key) -> Store:
    """`digits` with one candidate of each status, and `other` with the same genomes."""
    begin(searched, "other")
    for name in ("digits", "other"):
        searched.propose(name, 0, proposals(["aaa", "aba", "bba", "dba"]))
    for number, outcome in enumerate((completed(0.7), FAILED, Outcome(Status.RACED, bound=0.4))):
        searched.record("digits", number, key, outcome)
    return searched


def test_only_what_failed_is_retried(scored: Store, key, completed) -> None:
    before = scored.candidates("digits")
    assert scored.retry("digits") == 1
    after = scored.candidates("digits")
    assert [one for one in after if one.id != 1] == [one for one in before if one.id != 1]
    again = scored.candidate("digits", 1)
    assert again.status == Status.PROPOSED
    assert (again.error, again.accuracy, again.seconds, again.worker, again.finished_at) == (None,) * 5
    assert scored.known("digits", key, ["aaa", "aba", "bba"]) == {
        "aaa": completed(0.7),
        "bba": Outcome(Status.RACED, bound=0.4),
    }
    assert scored.retry("digits") == 0


def test_a_retried_candidate_takes_its_new_outcome(scored: Store, key, completed) -> None:
    scored.retry("digits")
    scored.record("digits", 1, key, completed(0.8))
    assert (scored.candidate("digits", 1).status, scored.candidate("digits", 1).accuracy) == (Status.COMPLETED, 0.8)
    assert schema.check(scored._engine).ok


def test_a_retry_leaves_the_failures_and_successes_of_others(scored: Store, key, completed) -> None:
    scored.record("other", 1, key, FAILED)
    scored.retry("digits")
    assert scored.candidate("other", 1).status == Status.FAILED
    assert scored.known("other", key, ["aba"])["aba"].status == Status.FAILED
    scored.record("digits", 1, key, completed(0.8))
    scored.retry("other")
    assert scored.known("other", key, ["aba"]) == {"aba": completed(0.8)}


def test_a_search_rewound_proposes_afresh_and_pays_for_nothing_twice(scored: Store, key, completed) -> None:
    child = Proposal(4, "dda", "mutation", (0,), 9)
    scored.propose("digits", 1, [child])
    scored.record("digits", 4, key, completed(0.9))
    other = Proposal(4, "bda", "mutation", (1,), 9)
    with pytest.raises(ReplayMismatch):
        scored.propose("digits", 1, [other])
    assert scored.rewind("digits", 0) == 1
    assert scored.progress("digits").generation == 0
    scored.propose("digits", 1, [other])
    assert scored.known("digits", key, ["dda"]) == {"dda": completed(0.9)}
    assert scored.rewind("digits", 5) == 0


def test_what_was_measured_is_remembered_by_key(scored: Store, key, completed) -> None:
    scored.record("other", 3, key, completed(0.6))
    assert scored.remembered("fingerprint", "split", "bf16") == [("aaa", completed(0.7)), ("dba", completed(0.6))]
    for other in (("x", "split", "bf16"), ("fingerprint", "x", "bf16"), ("fingerprint", "split", "x")):
        assert scored.remembered(*other) == []


def test_a_deleted_campaign_leaves_its_evaluations_and_supernets(scored: Store, begin, proposals, key) -> None:
    scored.record_supernet(Supernet("recipe", "fingerprint", "runs/one", 1, 1.0))
    scored.request("digits", "cancel")
    memo, other = scored.remembered("fingerprint", "split", "bf16"), scored.candidates("other")
    scored.delete("digits", NOON, MINUTE)
    with pytest.raises(NotFound, match="known are other"):
        scored.campaign("digits")
    assert (scored.remembered("fingerprint", "split", "bf16"), scored.candidates("other")) == (memo, other)
    assert scored.supernet("recipe") is not None
    assert schema.check(scored._engine).ok
    begin(scored, "digits")
    assert (scored.candidates("digits"), scored.requested("digits")) == ([], None)
    scored.propose("digits", 0, proposals(["aaa"]))
    assert set(scored.known("digits", key, ["aaa", "aba"])) == {"aaa"}


def test_a_campaign_that_somebody_runs_is_not_deleted(scored: Store) -> None:
    lease = scored.acquire("digits", "fir, process 1", NOON, MINUTE)
    before = scored.candidates("digits")
    with pytest.raises(Held, match="is run by fir, process 1"):
        scored.delete("digits", NOON + MINUTE, MINUTE)
    assert scored.candidates("digits") == before
    scored.beat(lease, NOON + MINUTE)
    scored.release(lease)
    scored.delete("digits", NOON + MINUTE, MINUTE)
    assert [campaign.name for campaign in scored.campaigns()] == ["other"]


def test_a_campaign_left_by_a_dead_process_is_deleted(scored: Store) -> None:
    scored.acquire("digits", "fir, process 1", NOON, MINUTE)
    scored.delete("digits", NOON + 2 * MINUTE, MINUTE)
    assert [campaign.name for campaign in scored.campaigns()] == ["other"]


def test_an_unknown_campaign_is_not_deleted(scored: Store) -> None:
    with pytest.raises(NotFound, match="did you mean 'digits'"):
        scored.delete("digit", NOON, MINUTE)
