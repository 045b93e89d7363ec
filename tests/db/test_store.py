"""What is put into the store comes back as it was, and a campaign's life is a row."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from db.errors import NameTaken, NotFound, ReplayMismatch
from db.records import Outcome, Status, Supernet
from db.rows import CANDIDATE
from db.store import Store


def test_a_campaign_comes_back_as_it_was_made(store: Store) -> None:
    config = {"name": "digits", "space": {"ranks": [4], "product": "elementwise"}}
    made = store.create_campaign("digits", config, seed=2**40)
    assert store.campaign("digits") == made
    assert (made.config, made.seed, made.state, made.genes, made.report) == (config, 2**40, "created", None, None)
    assert abs((datetime.now(UTC) - made.created_at).total_seconds()) < 60


def test_campaigns_are_listed_oldest_first(store: Store) -> None:
    for name in ("b", "a", "c"):
        store.create_campaign(name, {}, 0)
    assert [campaign.name for campaign in store.campaigns()] == ["b", "a", "c"]


def test_a_name_is_taken_once(store: Store) -> None:
    first = store.create_campaign("digits", {}, 0)
    with pytest.raises(NameTaken, match="'digits' exists already; resume it"):
        store.create_campaign("digits", {}, 1)
    assert store.campaigns() == [first]


def test_an_unknown_campaign_names_the_nearest(store: Store) -> None:
    with pytest.raises(NotFound, match="launch one first"):
        store.campaign("digits")
    store.create_campaign("digits", {}, 0)
    with pytest.raises(NotFound, match=r"'digit'; did you mean 'digits'\?"):
        store.set_state("digit", "paused")
    with pytest.raises(NotFound, match="known are digits"):
        store.progress("xyz")


def test_the_reason_of_a_state_goes_with_the_state(store: Store) -> None:
    store.create_campaign("digits", {}, 0)
    store.set_state("digits", "failed", "no memory")
    assert (store.campaign("digits").state, store.campaign("digits").error) == ("failed", "no memory")
    store.set_state("digits", "searching")
    assert (store.campaign("digits").state, store.campaign("digits").error) == ("searching", None)
    with pytest.raises(ValueError, match="asleep"):
        store.set_state("digits", "asleep")


def test_a_report_comes_back(store: Store) -> None:
    store.create_campaign("digits", {}, 0)
    store.set_report("digits", {"test_accuracy": 0.97, "baselines": [{"name": "linear_probe"}]})
    assert store.campaign("digits").report == {"test_accuracy": 0.97, "baselines": [{"name": "linear_probe"}]}


def test_what_a_search_began_with_stays_once_something_is_proposed(searched: Store, proposals) -> None:
    begun = searched.campaign("digits")
    again = (list(begun.genes), "fingerprint", "split", dict(begun.numerics))
    searched.begin_search("digits", list(begun.genes), "another", "split", begun.numerics)
    searched.begin_search("digits", *again)
    searched.propose("digits", 0, proposals(["aaa"]))
    searched.begin_search("digits", *again)
    with pytest.raises(ReplayMismatch, match="began with other fingerprint, split"):
        searched.begin_search("digits", again[0], "another", "another", again[3])
    assert searched.campaign("digits").fingerprint == "fingerprint"


def test_the_numerics_of_the_first_launch_stay(store: Store) -> None:
    first, other = {"precision": "bf16", "chunk": 64}, {"precision": "float32", "chunk": 32}
    store.create_campaign("digits", {}, 0)
    assert store.keep_numerics("digits", first) == first
    assert store.keep_numerics("digits", other) == first
    assert store.campaign("digits").numerics == first
    with pytest.raises(NotFound):
        store.keep_numerics("other", first)


def test_a_search_begins_with_the_numerics_that_were_kept(store: Store, proposals) -> None:
    store.create_campaign("digits", {}, 0)
    kept = store.keep_numerics("digits", {"chunk": 64})
    gene = {"name": "blocks.3.prompt", "alphabet": {"a": "none"}}
    store.begin_search("digits", [gene], "fingerprint", "split", kept)
    store.propose("digits", 0, proposals(["a"]))
    store.begin_search("digits", [gene], "fingerprint", "split", store.keep_numerics("digits", {"chunk": 32}))
    with pytest.raises(ReplayMismatch, match="began with other numerics"):
        store.begin_search("digits", [gene], "fingerprint", "split", {"chunk": 32})


def test_a_supernet_is_found_by_its_recipe_and_the_latest_counts(store: Store) -> None:
    assert store.supernet("recipe") is None
    store.record_supernet(Supernet("recipe", "one", "runs/one", 10**10, 1.5))
    second = store.record_supernet(Supernet("recipe", "two", "runs/two", 3, 2.5))
    assert store.supernet("recipe") == second
    assert second.fingerprint == "two"


def test_a_candidate_comes_back_as_it_was_proposed_and_scored(searched: Store, proposals, completed, key) -> None:
    searched.propose("digits", 0, proposals(["aaa", "dbp"]))
    searched.record("digits", 1, key, completed(0.75, 0.5))
    searched.score_float32("digits", 1, 0.76, 0.49)
    found = searched.candidate("digits", 1)
    assert found == searched.candidates("digits")[1]
    assert (found.id, found.genome, found.operator, found.parents, found.params) == (1, "dbp", "random", (), 100)
    assert (found.status, found.accuracy, found.loss, found.worker) == (Status.COMPLETED, 0.75, 0.5, "w0")
    assert (found.accuracy_float32, found.loss_float32) == (0.76, 0.49)
    assert found.finished_at >= found.created_at
    assert json.loads(json.dumps(found.as_dict()))["parents"] == []


def test_every_field_of_a_candidate_is_read_from_its_column() -> None:
    assert len(CANDIDATE) == 18
    assert [column.name for column in CANDIDATE][:2] == ["number", "genome"]


def test_an_unknown_candidate_names_the_ids_there_are(searched: Store, proposals, completed, key) -> None:
    with pytest.raises(NotFound, match="it has none yet"):
        searched.candidate("digits", 0)
    searched.propose("digits", 0, proposals(["aaa", "aba"]))
    for unknown in (2, -1):
        with pytest.raises(NotFound, match=f"no candidate {unknown}; its ids run from 0 to 1"):
            searched.record("digits", unknown, key, completed())


def test_an_outcome_finishes_its_candidate_once(searched: Store, proposals, completed, key) -> None:
    searched.propose("digits", 0, proposals(["aaa"]))
    searched.record("digits", 0, key, completed(0.5))
    first = searched.candidate("digits", 0)
    for late in (
        completed(0.5),
        completed(0.9),
        Outcome(Status.FAILED, error="late"),
        Outcome(Status.RACED, bound=0.1),
    ):
        searched.record("digits", 0, key, late)
    assert searched.candidate("digits", 0) == first


def test_a_raced_candidate_keeps_its_bound(searched: Store, proposals, key) -> None:
    searched.propose("digits", 0, proposals(["aaa"]))
    searched.record("digits", 0, key, Outcome(Status.RACED, bound=0.4, seconds=0.1))
    assert (searched.candidate("digits", 0).status, searched.candidate("digits", 0).bound) == (Status.RACED, 0.4)


def test_an_outcome_is_never_just_proposed(searched: Store, proposals, key) -> None:
    searched.propose("digits", 0, proposals(["aaa"]))
    with pytest.raises(ValueError, match="completed, failed or raced"):
        searched.record("digits", 0, key, Outcome(Status.PROPOSED))


def test_an_error_that_is_no_text_is_stored_as_escapes(searched: Store, proposals, key) -> None:
    searched.propose("digits", 0, proposals(["aaa"]))
    searched.record("digits", 0, key, Outcome(Status.FAILED, error="bad \udcff\0 bytes"))
    assert searched.candidate("digits", 0).error == r"bad \udcff\x00 bytes"


def test_progress_counts_and_names_the_best_by_accuracy_then_loss_then_id(
    searched: Store, proposals, completed, key
) -> None:
    assert dataclasses.astuple(searched.progress("digits")) == (0, 0, 0, 0, None, None)
    searched.propose("digits", 0, proposals(["aaa", "aab", "aac"]))
    searched.propose("digits", 1, proposals(["aba", "abb", "abc", "abd"], first=3))
    searched.record("digits", 0, key, completed(0.9, 0.5))
    searched.record("digits", 1, key, completed(0.9, 0.4))
    searched.record("digits", 2, key, completed(0.9, 0.4))
    searched.record("digits", 3, key, completed(0.8, 0.1))
    searched.record("digits", 4, key, Outcome(Status.FAILED, error="out of memory"))
    searched.record("digits", 5, key, Outcome(Status.RACED, accuracy=1.0, loss=0.0, bound=1.0))
    progress = searched.progress("digits")
    assert (progress.proposed, progress.completed, progress.failed, progress.raced) == (1, 4, 1, 1)
    assert progress.generation == 1
    assert progress.best == searched.candidate("digits", 1)


def test_candidates_of_one_campaign_are_not_those_of_another(searched: Store, begin, proposals) -> None:
    begin(searched, "other")
    searched.propose("digits", 0, proposals(["aaa"]))
    assert searched.candidates("other") == []
    searched.propose("other", 0, proposals(["aaa"]))
    assert len(searched.candidates("digits")) == 1


def test_what_was_raced_is_found_by_its_bound_and_the_examples_seen(searched: Store, proposals, key) -> None:
    searched.propose("digits", 0, proposals(["aaa", "aba", "bba"]))
    for number, (bound, seen) in enumerate([(0.9, 50), (0.8, 25), (0.7, 75)]):
        searched.record("digits", number, key, Outcome(Status.RACED, bound=bound, seen=seen))
    assert [each.id for each in searched.candidates("digits", where="seen < 60 and bound > 0.5", order_by="bound")] == [
        1,
        0,
    ]
