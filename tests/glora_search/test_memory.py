"""The search's one door: every outcome is recorded once, and a replay asks for nothing that is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db.records import EvaluationKey, Gene, Outcome, Proposal, Status
from db.store import Store, open_store
from glora_search.control import Control
from glora_search.evolution import Generation, evolve
from glora_search.memory import recorded, remembering
from glora_search.settings import SearchSettings
from supernet.space import Space
from workers.evaluator import Evaluation, Failure

KEY = EvaluationKey("fingerprint", "split", "float32")
SIZES = SearchSettings(population=6, generations=3, parents=3, crossover=2, mutation=2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "glora.db")) as store:
        yield store


@pytest.fixture
def search(store: Store, small: Space) -> Callable[..., list[Generation]]:
    def search(evaluator: Any, name: str = "digits", key: EvaluationKey = KEY, **changes: Any) -> list[Generation]:
        """A search remembered in the store; again under the same name replays it."""
        genes = [Gene(name=gene.name, alphabet={f.letter: f.name for f in gene.forms}) for gene in small.genes]
        if name not in [campaign.name for campaign in store.campaigns()]:
            store.create_campaign(name, {}, seed=0)
        store.begin_search(name, genes, key.fingerprint, key.split, {"precision": key.numerics})
        heard: Callable[[Proposal, Outcome], None] = changes.pop("heard", lambda proposal, outcome: None)
        evaluate = remembering(evaluator, store, name, key, heard, Control(store, name))
        return list(evolve(small, SIZES.model_copy(update=changes), 0, evaluate))

    return search


def remembered(store: Store, name: str = "digits") -> list[tuple[Any, ...]]:
    fields = ("id", "genome", "generation", "operator", "parents", "params", "status", "accuracy", "loss")
    return [tuple(getattr(each, field) for field in fields) for each in store.candidates(name)]


def test_every_outcome_is_recorded_and_heard_once(
    store: Store, search: Callable[..., Any], hashing: Callable[..., Any]
) -> None:
    heard: list[int] = []
    evaluator = hashing(failing=4)
    search(evaluator, heard=lambda proposal, outcome: heard.append(proposal.id))
    assert sorted(heard) == list(range(18))
    assert len(evaluator.asked) == len(set(evaluator.asked)) == 18
    progress = store.progress("digits")
    assert (progress.proposed, progress.completed + progress.failed, progress.raced) == (0, 18, 0)
    assert progress.failed


@pytest.mark.parametrize("algorithm", ["evolution", "nsga2", "random"])
def test_the_order_of_arrival_changes_nothing(
    store: Store, search: Callable[..., Any], hashing: Callable[..., Any], algorithm: str
) -> None:
    forwards = search(hashing(failing=4), "forwards", algorithm=algorithm)
    other = replace(KEY, split="same, but under another key")
    assert search(hashing(failing=4, backwards=True), "backwards", other, algorithm=algorithm) == forwards
    assert remembered(store, "backwards") == remembered(store, "forwards")


@pytest.mark.parametrize("algorithm", ["evolution", "nsga2", "random"])
@pytest.mark.parametrize("dies_after", [0, 5, 6, 13])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_search_that_died_and_is_replayed_equals_one_that_did_not(
    store: Store, search: Callable[..., Any], hashing: Callable[..., Any],
    algorithm: str, dies_after: int, backwards: bool,
) -> None:  # fmt: skip
    elsewhere = replace(KEY, split="same, but under another key")
    uninterrupted = search(hashing(failing=4), "uninterrupted", elsewhere, algorithm=algorithm)
    first = hashing(failing=4, backwards=backwards, dies_after=dies_after)
    with pytest.raises(RuntimeError, match="cluster"):
        search(first, algorithm=algorithm)
    assert len(store.candidates("digits", where="status != 'proposed'")) == dies_after
    second = hashing(failing=4)
    assert search(second, algorithm=algorithm) == uninterrupted
    assert remembered(store) == remembered(store, "uninterrupted")
    assert not set(first.asked) & set(second.asked)  # failures, too, are answered from the store
    assert len(first.asked) + len(second.asked) == 18


def test_a_finished_search_is_replayed_without_asking(
    store: Store, search: Callable[..., Any], hashing: Callable[..., Any]
) -> None:
    once = search(hashing(failing=4))
    before, idle = store.candidates("digits"), hashing()
    assert search(idle) == once
    assert idle.asked == []
    assert store.candidates("digits") == before


def test_another_campaign_asks_only_for_what_no_campaign_knows(
    store: Store, search: Callable[..., Any], hashing: Callable[..., Any]
) -> None:
    search(hashing(failing=4))
    later = hashing(failing=4)
    search(later, "later", algorithm="random")
    completed = {each.genome for each in store.candidates("digits", where="status = 'completed'")}
    wanted = {each.genome for each in store.candidates("later")}
    assert set(later.asked) == wanted - completed  # another's failures are tried again
    assert wanted & completed


@pytest.mark.parametrize("changed", ["fingerprint", "split", "numerics"])
def test_what_was_measured_under_another_key_is_not_known(
    search: Callable[..., Any], hashing: Callable[..., Any], changed: str
) -> None:
    search(hashing())
    again = hashing()
    search(again, "again", replace(KEY, **{changed: "another"}))
    assert len(again.asked) == 18


def test_a_failure_is_kept_with_its_reason(
    store: Store, search: Callable[..., Any], hashing: Callable[..., Any]
) -> None:
    search(hashing(failing=2))
    failed = store.candidates("digits", where="status = 'failed'")
    assert failed
    assert all(each.error == "OutOfMemoryError: a long story\nout of memory" for each in failed)
    assert all(each.accuracy is None and each.loss is None for each in failed)


@pytest.mark.parametrize(("accuracy", "loss"), [(math.nan, 1.0), (0.5, math.inf), (0.5, math.nan), (-math.inf, 1.0)])
def test_figures_that_are_not_finite_are_a_failure(accuracy: float, loss: float) -> None:
    found = recorded(Evaluation(accuracy, loss, 0, b"", 0.1, "worker"))
    assert found.status == Status.FAILED
    assert found.accuracy is found.loss is None
    assert "not finite" in (found.error or "")


def test_a_worker_that_answers_nan_ends_neither_the_search_nor_a_replay(
    store: Store, search: Callable[..., Any]
) -> None:
    class Broken:
        def evaluate(self, genomes: Sequence[str], hopeless: object = None) -> Iterator[tuple[int, Evaluation]]:
            for index, genome in enumerate(genomes):
                accuracy = math.nan if hash(genome[0]) % 2 or genome[1] == "n" else 0.5
                yield index, Evaluation(accuracy, 1.0, 0, b"", 0.1, "broken")

    once = search(Broken())
    assert store.progress("digits").failed
    assert all(math.isfinite(each.accuracy) for generation in once for each in generation.survivors)

    class Unreachable:
        def evaluate(self, genomes: Sequence[str], hopeless: object = None) -> Iterator[tuple[int, Failure]]:
            raise AssertionError(f"asked for {genomes}")

    assert search(Unreachable()) == once


# ---- workers that were thought dead, and memory that ran out


class Repeating:
    """Says every outcome twice; the first time some candidates are failures, as if their worker were dead."""

    def __init__(self, hashing: Any, thought_dead: int = 0, fails_late: bool = False) -> None:
        self.evaluator, self.thought_dead, self.fails_late = hashing(), thought_dead, fails_late

    def evaluate(self, genomes: Any, hopeless: object = None) -> Iterator[tuple[int, Evaluation | Failure]]:
        dead = Failure("worker died", "3 workers died of it.", 1.0, "fake")
        for index, outcome in self.evaluator.evaluate(genomes):
            first = dead if index < self.thought_dead else outcome
            yield from [(index, first), (index, dead if self.fails_late else outcome), (index, outcome)]


@pytest.mark.parametrize(
    ("thought_dead", "fails_late"), [(0, False), (2, False), (0, True)], ids=["twice", "late", "fails afterwards"]
)
def test_the_result_of_a_worker_thought_dead_is_taken_once(
    store: Store, search: Callable[..., Any], hashing: Callable[..., Any], thought_dead: int, fails_late: bool
) -> None:
    expected = search(hashing())
    found = search(Repeating(hashing, thought_dead, fails_late), "other", replace(KEY, split="other"))
    assert found == expected
    assert remembered(store, "other") == remembered(store)


def test_what_was_measured_with_less_memory_is_remembered_as_that_and_replayed(
    store: Store, search: Callable[..., Any], hashing: Callable[..., Any], numerics: Any
) -> None:
    class Cramped(hashing):  # type: ignore[misc]
        def evaluate(self, genomes: Any, hopeless: object = None) -> Iterator[tuple[int, Evaluation | Failure]]:
            for index, outcome in super().evaluate(genomes, hopeless):
                yield index, replace(outcome, chunk=numerics.chunk // 2)

    key = replace(KEY, numerics=numerics.key())
    expected, replayed, other = search(Cramped(), key=key), hashing(), hashing()
    assert search(replayed, key=key) == expected
    assert replayed.asked == [], "a campaign's own results are its own, whatever they were measured with"
    halved = replace(numerics, chunk=numerics.chunk // 2).key()
    assert store.remembered(key.fingerprint, key.split, key.numerics) == []
    assert len(store.remembered(key.fingerprint, key.split, halved)) == 18
    search(other, "other", key)
    assert len(other.asked) == 18, "and nobody's who computes with the full chunk"
