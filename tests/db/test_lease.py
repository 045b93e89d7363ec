"""One process runs a campaign: whoever lost it can write nothing more."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta

import pytest

from db import lease as leases
from db.engine import writing
from db.errors import Held, LeaseLost, NotFound
from db.records import Lease, Outcome, Status, Supernet
from db.store import Store

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LONG_AFTER = NOON + timedelta(hours=1)


@pytest.fixture
def first(searched: Store) -> Lease:
    return searched.acquire("digits", "fir, process 1", NOON, MINUTE)


def test_the_lease_of_a_dead_process_is_taken_over_at_once_and_no_other(searched: Store) -> None:
    first = searched.acquire("digits", "fir, process 1", NOON, MINUTE)
    with pytest.raises(Held) as caught:
        searched.acquire("digits", "oak, process 2", NOON, MINUTE)
    assert caught.value.token == first.token
    second = searched.acquire("digits", "oak, process 2", NOON, MINUTE, dead=first.token)
    assert second.token == first.token + 1
    with pytest.raises(Held, match="oak, process 2"):  # who saw the first one die comes too late
        searched.acquire("digits", "elm, process 3", NOON, MINUTE, dead=first.token)


def test_a_lease_is_a_value_with_a_token(first: Lease) -> None:
    assert first == Lease("digits", 1, "fir, process 1")
    with pytest.raises(FrozenInstanceError):
        first.token = 2


def test_a_held_campaign_says_who_since_when_and_until_when(searched: Store, first: Lease) -> None:
    searched.beat(first, NOON + 20 * SECOND)
    with pytest.raises(Held) as caught:
        searched.acquire("digits", "oak, process 2", NOON + 80 * SECOND, MINUTE)
    for part in (
        "campaign 'digits' is run by fir, process 1 since 2024-05-01 12:00:00 UTC",
        "last heartbeat was at 2024-05-01 12:00:20 UTC",
        "free after 2024-05-01 12:01:20 UTC",
        "glora-search pause digits",
    ):
        assert part in str(caught.value)
    held = caught.value
    assert (held.holder, held.since, held.heartbeat) == ("fir, process 1", NOON, NOON + 20 * SECOND)
    assert held.free_after == NOON + 80 * SECOND


def test_a_lease_without_a_heartbeat_for_too_long_is_taken_over(searched: Store, first: Lease) -> None:
    searched.beat(first, NOON + 20 * SECOND)
    after = NOON + 20 * SECOND + MINUTE + timedelta(microseconds=1)
    assert searched.acquire("digits", "oak, process 2", after, MINUTE) == Lease("digits", 2, "oak, process 2")
    with pytest.raises(LeaseLost, match=r"fir, process 1 no longer runs .* oak, process 2 runs it since 2024-05-01 12"):
        searched.beat(first, after)


def test_the_holder_too_waits_for_its_own_lease(searched: Store, first: Lease) -> None:
    with pytest.raises(Held):
        searched.acquire("digits", first.holder, NOON, MINUTE)


def test_a_released_lease_is_free_at_once_and_good_for_nothing(searched: Store, first: Lease) -> None:
    searched.release(first)
    searched.release(first)
    with pytest.raises(LeaseLost, match="nobody runs it now"):
        searched.beat(first, NOON)
    with pytest.raises(LeaseLost):
        searched.fenced(first).set_state("digits", "paused")
    assert searched.acquire("digits", "oak, process 2", NOON, MINUTE).token == 2


def test_releasing_a_lost_lease_leaves_the_new_one(searched: Store, first: Lease) -> None:
    second = searched.acquire("digits", "oak, process 2", LONG_AFTER, MINUTE)
    searched.release(first)
    searched.beat(second, LONG_AFTER)


def test_a_clock_that_went_back_takes_nothing_over(searched: Store, first: Lease) -> None:
    with pytest.raises(Held):
        searched.acquire("digits", "oak, process 2", NOON - timedelta(days=1), MINUTE)
    searched.beat(first, NOON - timedelta(days=1))


def test_campaigns_are_held_one_by_one_and_must_exist(searched: Store, first: Lease, begin) -> None:
    begin(searched, "other")
    assert searched.acquire("other", "oak, process 2", NOON, MINUTE).token == 1
    with pytest.raises(NotFound, match="did you mean 'digits'"):
        searched.acquire("digit", "oak, process 2", NOON, MINUTE)
    with pytest.raises(LeaseLost):
        searched.beat(Lease("digit", 1, "oak, process 2"), NOON)


WRITES: dict[str, Callable[[Store, "pytest.FixtureRequest"], object]] = {
    "set_state": lambda store, of: store.set_state("digits", "reporting"),
    "keep_numerics": lambda store, of: store.keep_numerics("early", {"chunk": 64}),
    "set_config": lambda store, of: store.set_config("digits", {"export": {}}),
    "begin_search": lambda store, of: store.begin_search("digits", [], "other", "split", {}),
    "set_report": lambda store, of: store.set_report("digits", {"test_accuracy": 1.0}),
    "propose": lambda store, of: store.propose("digits", 1, of.getfixturevalue("proposals")(["bba"], first=2)),
    "record": lambda store, of: store.record("digits", 0, of.getfixturevalue("key"), Outcome(Status.COMPLETED, 1, 0)),
    "remember": lambda store, of: store.remember(
        of.getfixturevalue("key"), "bba", Outcome(Status.COMPLETED, accuracy=1.0, loss=0.0)
    ),
    "score_float32": lambda store, of: store.score_float32("digits", 0, 0.5, 1.0),
    "record_supernet": lambda store, of: store.record_supernet(Supernet("recipe", "late", "runs", 1, 1.0)),
    "create_campaign": lambda store, of: store.create_campaign("another", {}, 0),
    "request": lambda store, of: store.request("digits", "cancel"),
    "clear_request": lambda store, of: store.clear_request("digits"),
    "retry": lambda store, of: store.retry("digits"),
    "rewind": lambda store, of: store.rewind("digits", -1),
}
HARMLESS = {"acquire", "beat", "release", "delete", "close", "fenced"}  # check leases by themselves, or write nothing
READS = {"campaign", "campaigns", "supernet", "requested", "known", "remembered", "candidates", "candidate", "progress"}
READS |= {"driver"}


def test_every_verb_is_a_read_or_tried_under_a_lost_lease() -> None:
    verbs = {name for name in vars(Store) if not name.startswith("_")}
    assert verbs == HARMLESS | READS | set(WRITES)


def everything(store: Store) -> tuple[object, ...]:
    memo = store.remembered("fingerprint", "split", "bf16")
    campaigns = store.campaigns(), store.requested("digits"), store.supernet("recipe")
    return *campaigns, store.candidates("digits"), memo


@pytest.mark.parametrize("verb", WRITES)
def test_a_write_counts_under_a_good_lease_and_never_under_a_lost_one(
    searched: Store, first: Lease, proposals, key, verb: str, request: pytest.FixtureRequest
) -> None:
    searched.create_campaign("early", {}, 0)
    searched.propose("digits", 0, proposals(["aaa", "aba"]))
    if verb == "begin_search":
        searched.rewind("digits", -1)
    searched.request("digits", "pause")
    if verb == "retry":
        searched.record("digits", 1, key, Outcome(Status.FAILED, error="out of memory"))
    before = everything(searched)
    stale = searched.fenced(first)
    second = searched.acquire("digits", "oak, process 2", LONG_AFTER, MINUTE)
    with pytest.raises(LeaseLost, match="nothing was written"):
        WRITES[verb](stale, request)
    assert everything(searched) == before
    WRITES[verb](searched.fenced(second), request)
    assert everything(searched) != before


def test_reading_needs_no_lease(searched: Store, first: Lease) -> None:
    searched.release(first)
    assert searched.fenced(first).campaign("digits").name == "digits"


def test_a_store_without_a_lease_writes_as_ever(searched: Store, first: Lease) -> None:
    searched.set_state("digits", "paused")
    assert searched.campaign("digits").state == "paused"


def test_a_deleted_campaign_never_sees_a_token_again(searched: Store, begin) -> None:
    sleeper = searched.acquire("digits", "fir, process 1", NOON, MINUTE)
    searched.delete("digits", LONG_AFTER, MINUTE)
    with pytest.raises(LeaseLost):
        searched.fenced(sleeper).set_state("digits", "paused")
    begin(searched, "digits")
    assert searched.acquire("digits", "oak, process 2", LONG_AFTER, MINUTE).token == 3
    with pytest.raises(LeaseLost):
        searched.fenced(sleeper).set_state("digits", "paused")


def test_whoever_takes_over_waits_for_the_write_under_way(searched: Store, first: Lease) -> None:
    second = threading.Thread(target=searched.acquire, args=("digits", "oak", LONG_AFTER, MINUTE))
    with writing(searched._engine) as session:
        leases.fence(session, first)
        second.start()
        second.join(0.2)
        assert second.is_alive()
    second.join(10)
    with pytest.raises(LeaseLost):
        searched.beat(first, LONG_AFTER)


@pytest.fixture
def contested(store: Store) -> list[str]:
    """Campaigns never held, released, and held by someone long silent; a third each."""
    names = [f"c{i}" for i in range(40)]
    for i, name in enumerate(names):
        store.create_campaign(name, {}, 0)
        if i % 3:
            held = store.acquire(name, "fir", NOON - timedelta(hours=1), MINUTE)
        if i % 3 == 1:
            store.release(held)
    return names


def test_of_eight_processes_one_gets_each_campaign(database: str, contested: list[str], crowd) -> None:
    won = crowd("acquire", database, 8, *contested)
    assert sorted((one["name"], one["token"]) for one in won) == sorted(
        (name, 1 if i % 3 == 0 else 2) for i, name in enumerate(contested)
    )


def test_looking_first_and_then_writing_would_give_campaigns_to_two(database: str, contested, crowd) -> None:
    released = contested[1::3]
    won = crowd("naively", database, 8, *released)
    assert max(Counter(one["name"] for one in won).values()) > 1
