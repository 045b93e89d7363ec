"""Racing is lossless: whoever is dropped, the survivors of every generation, the finalists and the front stay."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.records import EvaluationKey, Gene, Proposal, Status
from db.records import Outcome as Recorded
from db.store import Store, open_store
from glora_search import racing, selection
from glora_search.control import Control
from glora_search.difficulty import LEADERS
from glora_search.evolution import Generation, evolve
from glora_search.memory import remembering
from glora_search.race import Known, Race, Racing, Standing
from glora_search.racing import Rule, dominates, hardest_first, mistakes
from glora_search.selection import Scored
from glora_search.settings import SearchSettings
from supernet.evaluation import QUANTUM, Partial
from supernet.space import Form, Space
from supernet.space import Gene as SpaceGene
from workers.evaluator import Evaluation, Failure, Outcome, Raced, unraced

EXAMPLES = 40
FAILED = Recorded(Status.FAILED, error="a long story")
KEY = EvaluationKey("fingerprint", "split", "float32")
SIZES = SearchSettings(population=20, generations=6, parents=4, crossover=8, mutation=8, finalists=5)
ALGORITHMS = ("evolution", "nsga2", "random")
RANKS = ("loss", "accuracy")


@pytest.fixture(scope="module")
def space() -> Space:
    """Twelve genes, 4 ** 12 genomes."""
    forms = (Form("lora4", "4", 9), Form("vector", "v", 4), Form("scalar", "s", 1), Form("none", "n", 0))
    return Space(tuple(SpaceGene(f"blocks.{i}.A", forms) for i in range(12)))


@dataclass
class Racer:
    """A fake on the evaluator port: an example is wrong where its difficulty exceeds what the genome can do."""

    space: Space
    chunk: int = 5
    backwards: bool = False
    dies_after: int | None = None
    failing: int = 0  # every so manieth genome
    seen: int = 0  # examples, in all
    asked: list[str] = field(default_factory=list)
    orders: list[Sequence[int]] = field(default_factory=list)  # of the examples, of each that raced

    def evaluate(self, genomes: Iterable[str | None], hopeless: Any = unraced) -> Iterator[tuple[int, Outcome]]:
        """As many at once as may be, answered in order or the last first."""
        waiting: list[tuple[int, str, Any]] = []
        asked, more = iter(genomes), True
        taken = 0
        while more or waiting:
            while (genome := next(asked, "")) is not None:
                if not genome:
                    more = False
                    break
                waiting.append((taken, genome, hopeless(taken)))
                taken += 1
            while waiting:
                index, genome, rule = waiting.pop(-1 if self.backwards else 0)
                if len(self.asked) == self.dies_after:
                    raise RuntimeError("the cluster is gone")
                self.asked.append(genome)
                yield index, self.outcome(genome, rule)

    def outcome(self, genome: str, hopeless: Any) -> Outcome:
        if self.failing and sum(genome.encode()) % self.failing == 0:
            return Failure("OutOfMemoryError", "a long story", 0.1, "fake")
        losses, right = measured(genome)
        order = np.arange(EXAMPLES) if hopeless is None else hopeless.order
        if hopeless is not None:
            self.orders.append(tuple(order.tolist()))
        for end in range(self.chunk, EXAMPLES + self.chunk, self.chunk):
            part = order[:end]
            self.seen += min(self.chunk, EXAMPLES - end + self.chunk)
            sums = int(right[part].sum()), int(losses[part].sum())
            found = Partial(len(part), *sums, EXAMPLES, self.space.parameters(genome))
            if len(part) < EXAMPLES and hopeless is not None and hopeless(found):
                return Raced(found.seen, found.total, found.correct, found.loss, 0.1, "fake")
        loss = int(losses.sum()) * QUANTUM / EXAMPLES
        bits = np.packbits(right).tobytes()
        return Evaluation(float(right.mean()), loss, 0, bits, 0.1, "fake", losses=losses.tobytes())


def measured(genome: str) -> tuple[np.ndarray, np.ndarray]:
    """(losses in quanta, right or wrong) of each example: some are hard for everybody, some genomes are good."""
    draw = np.random.default_rng(list(genome.encode()))
    able = 0.4 * (genome.count("v") + genome.count("4")) / len(genome) + draw.normal(0, 0.1)
    margin = np.linspace(-1, 0.8, EXAMPLES) + draw.normal(0, 0.15, EXAMPLES) - able
    losses = np.log1p(np.exp(5 * margin)) / QUANTUM  # as a cross-entropy grows with the margin it is wrong by
    return losses.astype(np.int64), margin <= 0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "glora.db")) as store:
        yield store


@pytest.fixture
def search(store: Store, space: Space) -> Callable[..., list[Generation]]:
    def search(racer: Racer, name: str, seed: int = 0, split: str = "", **changes: Any) -> list[Generation]:
        """A search remembered in the store, under a key of its own or a split's; under the same name it is replayed."""
        genes = [Gene(name=gene.name, alphabet={f.letter: f.name for f in gene.forms}) for gene in space.genes]
        if name not in [campaign.name for campaign in store.campaigns()]:
            store.create_campaign(name, {}, seed)
        key, sizes = replace(KEY, split=split or name), SIZES.model_copy(update=changes)
        store.begin_search(name, genes, key.fingerprint, key.split, {"precision": key.numerics})
        against = Standing(Racing(sizes, EXAMPLES, lag=6)) if sizes.racing else None
        evaluate = remembering(racer, store, name, key, lambda *heard: None, Control(store, name), against)
        return list(evolve(space, sizes, seed, evaluate))

    return search


def kept(
    store: Store, name: str, generations: list[Generation], finalists: int = SIZES.finalists, rank: str = SIZES.rank
) -> tuple[Any, ...]:
    """All that racing must not change: proposals, survivors, finalists, front."""
    completed = store.candidates(name, where="status = 'completed'")
    keys = {"loss": lambda each: (each.loss, -each.accuracy), "accuracy": lambda each: (-each.accuracy, each.loss)}
    best = sorted(completed, key=lambda each: (*keys[rank](each), each.id))[:finalists]
    return (
        [(generation.proposals, generation.survivors) for generation in generations],
        [(each.genome, each.accuracy, each.loss) for each in best],
        [(each.genome, each.accuracy) for each in store.candidates(name, front=True, order_by="params")],
    )


# ---- the law


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_with_and_without_racing_the_same_survive(
    store: Store, space: Space, search: Callable[..., Any], algorithm: str, rank: str, seed: int
) -> None:
    alone, racer = Racer(space), Racer(space)
    everybody = search(alone, "everybody", seed, algorithm=algorithm, rank=rank, racing=False)
    raced = search(racer, "raced", seed, algorithm=algorithm, rank=rank)
    assert kept(store, "raced", raced, rank=rank) == kept(store, "everybody", everybody, rank=rank)
    assert alone.seen == EXAMPLES * len(store.candidates("everybody"))
    if algorithm != "nsga2":  # whose places are as many as its pool is large, so that few are dropped
        assert store.progress("raced").raced > 10
        assert racer.seen < 0.8 * alone.seen


def test_nsga2_races_where_places_are_few(store: Store, space: Space, search: Callable[..., Any]) -> None:
    few = {"algorithm": "nsga2", "population": 3, "finalists": 2, "generations": 12}
    everybody = search(Racer(space), "everybody", racing=False, **few)
    raced = search(Racer(space), "raced", **few)
    assert store.progress("raced").raced
    assert kept(store, "raced", raced, 2) == kept(store, "everybody", everybody, 2)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_failed_is_no_place_and_changes_nothing(
    store: Store, space: Space, search: Callable[..., Any], algorithm: str
) -> None:
    everybody = search(Racer(space, failing=5), "everybody", algorithm=algorithm, racing=False)
    raced = search(Racer(space, failing=5, backwards=True), "raced", algorithm=algorithm)
    assert store.progress("raced").failed > 5
    assert kept(store, "raced", raced) == kept(store, "everybody", everybody)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_others_measured_changes_nothing(
    store: Store, space: Space, search: Callable[..., Any], algorithm: str
) -> None:
    everybody = search(Racer(space), "everybody", algorithm=algorithm, first="uniform", racing=False)
    search(Racer(space), "other", split="shared", algorithm="random", racing=False)
    racer = Racer(space)
    raced = search(racer, "raced", split="shared", algorithm=algorithm, first="uniform")
    known = {each.genome for each in store.candidates("other", where="status = 'completed'")}
    again = [genome for genome in racer.asked if genome in known]
    assert len(again) <= LEADERS * SIZES.generations, "of those who lead each example's loss is needed"
    assert len(again) == len(set(again))
    assert len(racer.asked) <= len(store.candidates("raced")) - SIZES.population + len(again)
    assert kept(store, "raced", raced) == kept(store, "everybody", everybody)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_is_raced_depends_neither_on_arrival_nor_on_a_death(
    store: Store, space: Space, search: Callable[..., Any], algorithm: str
) -> None:
    search(Racer(space), "forwards", algorithm=algorithm)
    first = Racer(space, dies_after=57, backwards=True)
    with pytest.raises(RuntimeError, match="cluster"):
        search(first, "other", algorithm=algorithm)
    second = Racer(space, backwards=True)
    search(second, "other", algorithm=algorithm)
    fields = ("id", "genome", "generation", "status", "accuracy", "loss", "bound", "seen")
    one, other = (
        [tuple(getattr(each, name) for name in fields) for each in store.candidates(name)]
        for name in ("forwards", "other")
    )
    assert one == other
    again = [genome for genome in second.asked if genome in first.asked]
    completed = {each.genome for each in store.candidates("other", where="status = 'completed'")}
    assert completed.issuperset(again), "what was raced before the death is not evaluated again"
    assert 0 < len(again) <= 2 * LEADERS, "those who led then, and those who took the lead before the death"
    assert len(second.asked) - len(again) == len(one) - 57


def test_what_was_raced_is_stored_with_its_bound_and_no_figures(
    store: Store, space: Space, search: Callable[..., Any]
) -> None:
    search(Racer(space), "digits")
    raced = store.candidates("digits", where="status = 'raced'")
    for each in raced:
        _, right = measured(each.genome)
        assert each.accuracy is each.loss is None
        assert each.seen in range(5, EXAMPLES, 5)
        assert right.mean() <= each.bound < 1
    assert len(store.remembered("fingerprint", "digits", "float32")) == len(store.candidates("digits")) - len(raced)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_rule_that_trusts_the_examples_seen_so_far_would_be_found(
    store: Store, space: Space, search: Callable[..., Any], algorithm: str, rank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = search(Racer(space), "everybody", algorithm=algorithm, rank=rank, racing=False)
    bound = Rule.__call__
    likely = lambda rule, found: bound(rule, replace(found, total=found.seen)) or found.correct / found.seen < 0.6  # noqa: E731
    monkeypatch.setattr(racing.Rule, "__call__", likely)
    raced = search(Racer(space), "raced", algorithm=algorithm, rank=rank)
    assert kept(store, "raced", raced, rank=rank) != kept(store, "everybody", everybody, rank=rank)


@pytest.mark.parametrize("rank", RANKS)
def test_a_whole_campaign_exports_the_same_with_and_without_racing(
    workshop: Any, rank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernet.speed.CHUNKS", {"cpu": (10, 10, 10)})  # else other kernels: a last bit may differ
    sizes = {"population": 16, "generations": 4, "parents": 3, "crossover": 8, "mutation": 8, "lag": 2, "rank": rank}
    training = {"epochs": 12}  # so far that a few images make most of a loss
    reports = {
        name: workshop.launch(name=name, training=training, search=sizes | {"racing": name == "raced"})
        for name in ("raced", "everybody")
    }
    with workshop.store() as store:
        assert store.progress("raced").raced
        assert not store.progress("everybody").raced
        fronts = [[each.genome for each in store.candidates(name, front=True)] for name in reports]
    assert fronts[0] == fronts[1]
    for figure in ("chosen", "genome", "params", "val_accuracy", "test_accuracy"):
        assert reports["raced"][figure] == reports["everybody"][figure]
    one, other = (workshop.places.export(name, None) / "model.safetensors" for name in reports)
    assert one.read_bytes() == other.read_bytes()


# ---- the rule, one candidate at a time

accuracies = st.integers(0, EXAMPLES).map(lambda right: right / EXAMPLES)
losses = st.integers(0, 200).map(lambda quanta: quanta * QUANTUM / EXAMPLES)
figures = st.tuples(accuracies, losses, st.integers(0, 12))


@settings(max_examples=300)
@given(
    known=st.lists(figures, min_size=3, max_size=12),
    right=st.lists(st.booleans(), min_size=EXAMPLES, max_size=EXAMPLES),
    quanta=st.lists(st.integers(0, 9), min_size=EXAMPLES, max_size=EXAMPLES),
    params=st.integers(0, 12),
    algorithm=st.sampled_from(ALGORITHMS),
    rank=st.sampled_from(RANKS),
)
def test_whoever_is_dropped_would_not_have_been_kept(
    known: list[tuple[float, float, int]], right: list[bool], quanta: list[int], params: int, algorithm: str, rank: Any
) -> None:
    sizes = SearchSettings(algorithm=algorithm, rank=rank, population=3, parents=3, finalists=2)  # type: ignore[arg-type]
    pool = [Scored(Proposal(i, str(i), "random", (), p), a, loss) for i, (a, loss, p) in enumerate(known)]
    rule = standing(sizes, [Known(each, None) for each in pool]).rule(pool)
    assert rule is not None, "as many are known as there are places"
    dropped = any(
        rule(Partial(seen, sum(right[:seen]), sum(quanta[:seen]), EXAMPLES, params)) for seen in range(1, EXAMPLES)
    )
    if not dropped:
        return
    whole = Scored(
        Proposal(len(pool), "new", "random", (), params), sum(right) / EXAMPLES, sum(quanta) * QUANTUM / EXAMPLES
    )
    survivors = selection.nsga2([*pool, whole], 3) if algorithm == "nsga2" else selection.best([*pool, whole], 3, rank)
    without = selection.nsga2(pool, 3) if algorithm == "nsga2" else selection.best(pool, 3, rank)
    assert survivors == without
    assert whole not in selection.best([*pool, whole], 2, rank)
    assert whole not in selection.front([*pool, whole])


def test_an_equal_key_is_never_dropped() -> None:
    rule = Rule(np.arange(4), "accuracy", last=(0.5, -1.0), front=((1.0, 0),))
    equal = round(4 / QUANTUM)
    assert not rule(Partial(2, 0, equal, 4, 9))
    assert rule(Partial(2, 0, equal + 1, 4, 9))
    assert rule(Partial(3, 0, 0, 4, 9))


def test_by_loss_a_candidate_is_spared_that_could_still_tie() -> None:
    rule = Rule(np.arange(4), "loss", last=(-1.0, 0.5), front=((1.0, 0),))
    equal = round(4 / QUANTUM)
    assert not rule(Partial(3, 0, equal - 1, 4, 9)), "its loss may be lower"
    assert not rule(Partial(2, 0, equal, 4, 9)), "as accurate at the same loss"
    assert rule(Partial(3, 0, equal, 4, 9)), "less accurate at the same loss"
    assert rule(Partial(2, 2, equal + 1, 4, 9)), "more accurate, but the loss is higher"


def test_a_candidate_that_may_be_on_the_front_is_spared() -> None:
    rule = Rule(np.arange(4), "accuracy", last=(1.0, 0.0), front=((0.5, 3), (1.0, 7)))
    assert not rule(Partial(2, 0, 1, 4, 2))
    assert not rule(Partial(2, 0, 1, 4, 3)), "equal in both"
    assert rule(Partial(2, 0, 1, 4, 4))


def standing(sizes: SearchSettings, known: Sequence[Known], lag: int = 2) -> Standing:
    return Standing(Racing(sizes, EXAMPLES, lag)).joined(known)


def test_nobody_is_raced_while_places_are_free() -> None:
    scored = [Scored(Proposal(i, str(i), "random", (), i), 0.9, 0.1) for i in range(5)]
    known = [Known(each, b"\xff" * 5) for each in scored]
    assert standing(SIZES, known[:4]).rule([]) is None
    assert standing(SIZES, known).rule([]) is not None
    nsga2 = standing(SIZES.model_copy(update={"algorithm": "nsga2", "population": 6}), known)
    assert nsga2.rule(scored) is None
    assert nsga2.rule([*scored, scored[0]]) is not None


def test_the_method_is_never_raced() -> None:
    known = [Known(Scored(Proposal(i, str(i), "random", (), i), 0.9, 0.1), b"\xff" * 5) for i in range(5)]
    proposals = [Proposal(i, f"g{i}", "random", (), i) for i in range(3)]
    before = Standing(Racing(SIZES, EXAMPLES, 2, spared="g1")).joined(known)
    rules = [Race(before, proposals, {}, []).rule(each) for each in proposals]
    assert [rule is None for rule in rules] == [False, True, False]


def test_without_racing_nobody_waits_and_nobody_has_a_rule() -> None:
    proposals = [Proposal(i, str(i), "random", (), i) for i in range(5)]
    race = Race(None, proposals, {}, [])
    assert list(race.genomes(proposals)) == ["0", "1", "2", "3", "4"]
    assert race.rule(proposals[-1]) is None


@given(st.lists(figures, max_size=20), st.data())
def test_who_joins_in_parts_stands_as_who_joins_at_once(found: list[tuple[float, float, int]], data: Any) -> None:
    draw = np.random.default_rng(len(found))
    known = [
        Known(Scored(Proposal(i, str(i), "random", (), params), accuracy, loss), draw.bytes(EXAMPLES // 8))
        for i, (accuracy, loss, params) in enumerate(found)
    ]
    cut = data.draw(st.integers(0, len(known)))
    once, parts = standing(SIZES, known), standing(SIZES, known[:cut]).joined(known[cut:])
    assert once == parts
    assert np.array_equal(once.wrong, parts.wrong)
    assert [each.proposal.id for each in once.front] == [
        each.proposal.id for each in selection.front([each.scored for each in known])
    ]


def test_a_candidate_waits_for_all_before_it_but_for_the_lag() -> None:
    proposals = [Proposal(i, str(i), "random", (), i) for i in range(7)]
    outcomes: dict[int, Recorded] = {}
    race = Race(standing(SIZES, [], lag=3), proposals, outcomes, [])
    genomes = race.genomes(proposals)
    assert [next(genomes) for _ in range(5)] == ["0", "1", "2", "3", None]
    outcomes[1] = FAILED
    assert next(genomes) is None
    outcomes[0] = FAILED
    assert [next(genomes) for _ in range(3)] == ["4", "5", None]
    outcomes[2] = FAILED
    assert list(genomes) == ["6"]


def test_a_race_knows_all_before_it_but_for_the_lag_and_nobody_else() -> None:
    """The last place is the best before it that is not within the lag, whatever came meanwhile."""
    sizes = SIZES.model_copy(update={"parents": 1, "finalists": 1, "rank": "accuracy"})
    proposals = [Proposal(i, str(i), "random", (), i) for i in range(6)]
    race = Race(standing(sizes, [], lag=2), proposals, outcomes := {}, [])
    last = []
    for each in proposals:
        outcomes[each.id] = Recorded(Status.COMPLETED, accuracy=each.id / 10, loss=0.0, correct=b"\xff" * 5)
        rule = race.rule(each)
        last.append(rule and rule.last[0])
    assert last == [None, None, None, 0.0, 0.1, 0.2]


def test_the_examples_that_were_wrong_most_often_come_first() -> None:
    rows = np.array([[1, 0, 1, 0, 1], [1, 1, 1, 0, 1], [1, 0, 1, 0, 0]], dtype=bool)
    bits = [np.packbits(row).tobytes() for row in rows]
    assert mistakes(bits, 5).tolist() == [0, 2, 0, 3, 1]
    assert hardest_first(mistakes(bits, 5)).tolist() == [3, 1, 4, 0, 2]
    assert hardest_first(mistakes([], 5)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dies_after", [None, 40])
def test_a_generation_begins_with_what_the_best_before_it_lose_most_on(
    store: Store, space: Space, search: Callable[..., Any], dies_after: int | None
) -> None:
    if dies_after:
        with pytest.raises(RuntimeError, match="cluster"):
            search(Racer(space, dies_after=dies_after), "digits")
    racer = Racer(space)
    generations = search(racer, "digits")
    for after in generations[3:]:  # the others are answered from the store
        scored = [each for before in generations[: after.number] for each in before.scored]
        best = selection.best(scored, LEADERS, SIZES.rank)
        hardness = np.sum([measured(each.proposal.genome)[0] for each in best], axis=0)
        assert tuple(np.argsort(-hardness, kind="stable")) in racer.orders
    assert len(set(racer.orders[-8:])) == 1, "one order a generation"


def test_of_many_examples_nobody_is_measured_again(
    store: Store, space: Space, search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glora_search.race.MOST", EXAMPLES - 1)
    first, second = Racer(space, dies_after=57), Racer(space)
    with pytest.raises(RuntimeError, match="cluster"):
        search(first, "digits")
    search(second, "digits")
    assert store.progress("digits").raced > 10
    assert not set(first.asked) & set(second.asked)


def test_a_rule_travels(space: Space) -> None:
    rule = Rule(np.arange(3)[::-1], "accuracy", last=(0.5, -1.0), front=((0.5, 3),), pool=((0.5, 3),), places=1)
    again = pickle.loads(pickle.dumps(rule))
    assert again.order.tolist() == [2, 1, 0]
    assert replace(again, order=rule.order) == rule


def test_dominance_needs_an_advantage() -> None:
    assert dominates((0.5, 3), (0.5, 4))
    assert dominates((0.6, 3), (0.5, 3))
    assert not dominates((0.5, 3), (0.5, 3))
    assert not dominates((0.6, 4), (0.5, 3))
