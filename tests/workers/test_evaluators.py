"""The evaluator port: what holds in process holds on Ray, to the last bit."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
import ray

from chaos.stub import Figures, Harm, OutOfMemory, Raise, StubScorer, StubTask, When, answer, numerics
from supernet.data import Split
from supernet.errors import BadInput, Corrupt
from supernet.evaluation import Hopeless, Measurement, Partial, Scorer, ScoringTask
from supernet.numerics import Numerics
from supernet.trained import Trained
from workers.evaluator import Evaluation, Failure, Outcome, Raced
from workers.provides import require_provided
from workers.trainer import Pool

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import this file


def collect(outcomes: Iterable[tuple[int, Outcome]], count: int) -> list[Outcome]:
    """In the order asked for, each index having come exactly once."""
    found = list(outcomes)
    assert sorted(index for index, _ in found) == list(range(count))
    return [outcome for _, outcome in sorted(found, key=lambda pair: pair[0])]


def assert_found(outcomes: Iterable[Outcome], expected: Iterable[Measurement]) -> None:
    for outcome, measured in zip(outcomes, expected, strict=True):
        assert isinstance(outcome, Evaluation), outcome
        assert (outcome.accuracy, outcome.loss, outcome.correct) == (measured.accuracy, measured.loss, measured.correct)


def corrupted(task: ScoringTask) -> ScoringTask:
    """A weight of the plain model changes once it is built. Classes made here travel whole."""

    class Corrupted(ScoringTask):
        def scorer(self) -> Scorer:
            scorer = super().scorer()
            scorer.plain.get_parameter("norm.weight").data[0] += 0.5
            return scorer

    return Corrupted(**vars(task))


def unmerged(task: ScoringTask) -> ScoringTask:
    """Every genome is merged as if it changed nothing."""

    class Unmerged(ScoringTask):
        def scorer(self) -> Scorer:
            scorer = super().scorer()
            for site in scorer.supernet.sites.values():
                merge, merge_bias = site.merge, site.merge_bias
                site.merge = lambda forms, *into, merge=merge: merge({}, *into)  # type: ignore[method-assign,misc]
                site.merge_bias = lambda forms, into, merge=merge_bias: merge({}, into)  # type: ignore[method-assign,misc]
            return scorer

    return Unmerged(**vars(task))


@dataclass(frozen=True)
class Missing:
    """A loss that was never computed."""

    def __call__(self, found: Measurement, chunk: int) -> Measurement:
        return replace(found, loss=None)  # type: ignore[arg-type]


class Befallen(StubScorer):
    """Each genome meets the harm that was meant for it."""

    def __init__(self, harms: Mapping[str, Harm]) -> None:
        super().__init__(StubTask(numerics()))
        self.harms = harms

    def score(self, genome: str, hopeless: Hopeless | None = None, chunk: int | None = None) -> Measurement:
        found = super().score(genome, hopeless, chunk)
        harm = self.harms.get(genome)
        return found if harm is None else harm(found, chunk or self.numerics.chunk)


@dataclass(frozen=True)
class Befalling:
    """A Scorable."""

    harms: Mapping[str, Harm]

    @property
    def numerics(self) -> Numerics:
        return numerics()

    def scorer(self) -> Befallen:
        return Befallen(self.harms)


def test_every_genome_is_scored_once_and_to_the_last_bit_as_without_workers(
    pool: Pool, scoring: ScoringTask, scorer: Scorer, genomes: list[str], expected: list[Measurement]
) -> None:
    with pool.evaluator(scoring) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes), len(genomes))
        again = collect(evaluator.evaluate([genomes[3], genomes[0], genomes[3]]), 3)
    assert_found(outcomes, expected)
    assert_found(again, [expected[3], expected[0], expected[3]])
    for genome, outcome in zip(genomes, outcomes, strict=True):
        assert isinstance(outcome, Evaluation)
        assert outcome.parameters == scorer.supernet.space.parameters(genome)
        assert outcome.seconds > 0
        assert outcome.worker


def test_no_genomes_have_no_outcomes(pool: Pool, scoring: ScoringTask) -> None:
    with pool.evaluator(scoring) as evaluator:
        assert list(evaluator.evaluate([])) == []


def test_text_that_is_no_genome_is_a_failure_and_the_others_are_scored(
    pool: Pool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement]
) -> None:
    with pool.evaluator(scoring) as evaluator:
        first, bad, second = collect(evaluator.evaluate([genomes[0], "?" + genomes[1][1:], genomes[2]]), 3)
    assert_found([first, second], [expected[0], expected[2]])
    assert isinstance(bad, Failure)
    assert bad.kind == "BadInput"
    assert "has the letters '42vs.'; got '?'" in bad.message
    assert bad.worker


def test_a_genome_whose_loss_is_not_finite_is_a_failure_and_the_others_are_scored(
    pool: Pool, without_numbers: Callable[[str], ScoringTask], scorer: Scorer
) -> None:
    space = scorer.supernet.space
    none = dict.fromkeys((gene.name for gene in space.genes), "none")
    ill, well = space.encode({**none, "blocks.1.mlp.fc1.E": "vector"}), space.encode(none)
    with pool.evaluator(without_numbers("blocks.1.mlp.fc1.E.down")) as evaluator:
        first, bad, second = collect(evaluator.evaluate([well, ill, well]), 3)
    assert isinstance(bad, Failure)
    assert (bad.kind, bad.message) == ("not finite", "The loss of 37 examples is not finite.")
    assert_found([first, second], [scorer.score(well)] * 2)


def test_a_racing_rule_travels_and_drops_whom_it_drops_here(
    pool: Pool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement], scorer: Scorer
) -> None:
    limit = sorted(scorer.score(genome, When(lambda partial: True)).partial.correct for genome in genomes)[3]

    rule = When(lambda partial: partial.correct < limit)
    with pool.evaluator(scoring) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes, lambda index: rule), len(genomes))
    kinds = set()
    for genome, outcome, whole in zip(genomes, outcomes, expected, strict=True):
        partial = scorer.score(genome, rule).partial
        kinds.add(type(outcome))
        if partial.seen == partial.total:
            assert_found([outcome], [whole])
        else:
            assert isinstance(outcome, Raced)
            assert (outcome.seen, outcome.correct, outcome.loss) == (partial.seen, partial.correct, partial.loss)
    assert kinds == {Evaluation, Raced}


def test_whatever_goes_wrong_with_a_candidate_is_data(pool: Pool, scoring: ScoringTask, genomes: list[str]) -> None:
    def broken(partial: Partial) -> bool:
        return 1 // (16 - partial.seen) > 0

    with pool.evaluator(scoring) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes[:2], lambda index: When(broken)), 2)
    for outcome in outcomes:
        assert isinstance(outcome, Failure)
        assert outcome.kind == "ZeroDivisionError"
        assert "in broken" in outcome.message, "the traceback"


def test_leaving_early_does_not_trouble_the_next_call(
    pool: Pool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement]
) -> None:
    with pool.evaluator(scoring) as evaluator:
        for _, outcome in evaluator.evaluate(genomes):
            assert isinstance(outcome, Evaluation)
            break
        assert_found(collect(evaluator.evaluate(genomes[::-1]), 6), expected[::-1])


def test_each_evaluator_scores_its_own_supernet_and_split(
    pool: Pool, scoring: ScoringTask, genomes: list[str], split_of: Callable[..., Split], expected: list[Measurement]
) -> None:
    half = replace(scoring.trained, tensors={k: v * np.float32(0.5) for k, v in scoring.trained.tensors.items()})
    for task in (replace(scoring, split=split_of(20, seed=5)), replace(scoring, trained=half), scoring):
        with pool.evaluator(task) as evaluator:
            outcomes = collect(evaluator.evaluate(genomes[:2]), 2)
        assert_found(outcomes, [Scorer(task).score(genome) for genome in genomes[:2]])
    assert_found(outcomes, expected[:2])


def test_a_supernet_that_cannot_be_loaded_is_said_to_be_and_the_pool_goes_on(
    pool: Pool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement]
) -> None:
    lacking = Trained({"head.bias": scoring.trained.tensors["head.bias"]}, 0.0)
    with (
        pytest.raises(Corrupt, match=r"^The trained supernet lacks blocks\.0\.attn\.proj\.A\.down and"),
        pool.evaluator(replace(scoring, trained=lacking)) as evaluator,
    ):
        list(evaluator.evaluate(genomes))
    with pool.evaluator(scoring) as evaluator:
        assert_found(collect(evaluator.evaluate(genomes[:2]), 2), expected[:2])


def test_numerics_of_another_device_are_refused(pool: Pool, scoring: ScoringTask, genomes: list[str]) -> None:
    elsewhere = replace(scoring, numerics=replace(scoring.numerics, device_kind="cpu ABACUS"))
    said = r"^This campaign computes on 'cpu ABACUS', this worker has 'cpu .*Use workers of the first kind"
    with pytest.raises(BadInput, match=said), pool.evaluator(elsewhere) as evaluator:
        list(evaluator.evaluate(genomes))


def test_a_probe_names_numerics_that_the_workers_provide(pool: Pool) -> None:
    numerics, why = pool.probe()
    assert numerics.threads_per_worker == 1
    if numerics.device.type == "cpu":
        require_provided(numerics)
    assert numerics.precision in why


def test_a_worker_whose_torch_has_not_the_campaigns_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replace(numerics(), precision="bfloat16", kernels="onednn")
    monkeypatch.setattr("supernet.onednn.works", lambda: False)
    with pytest.raises(BadInput, match="oneDNN's kernels"):
        require_provided(asked)
    require_provided(replace(asked, kernels="lean"))
    monkeypatch.setattr("supernet.onednn.works", lambda: True)
    require_provided(asked)


# Scorers that come to harm


def test_every_harm_becomes_a_failure_of_its_kind_and_the_others_are_scored(pool: Pool) -> None:
    nan, inf = float("nan"), float("inf")
    harms: dict[str, tuple[Harm, str]] = {
        "a": (Raise("our own mistake"), "LookupError"),
        "b": (Figures(loss=nan), "not finite"),
        "c": (Figures(loss=inf), "not finite"),
        "d": (Figures(accuracy=nan), "not finite"),
        "e": (Figures(loss=-0.5), "impossible"),
        "f": (Figures(accuracy=1.5), "impossible"),
        "g": (Missing(), "TypeError"),
        "h": (OutOfMemory(), "out of memory"),
    }
    task = Befalling({genome: harm for genome, (harm, _) in harms.items()})
    with pool.evaluator(task) as evaluator:
        outcomes = collect(evaluator.evaluate([*harms, "z"]), len(harms) + 1)
    for (_, kind), outcome in zip(harms.values(), outcomes, strict=False):
        assert isinstance(outcome, Failure)
        assert outcome.kind == kind
    last = outcomes[-1]
    assert isinstance(last, Evaluation)
    assert (last.accuracy, last.loss, last.correct) == (answer("z").accuracy, answer("z").loss, answer("z").correct)


def test_out_of_memory_halves_the_chunk_of_that_candidate_alone(pool: Pool) -> None:
    task = Befalling({"five": OutOfMemory(fits=5), "one": OutOfMemory(fits=1), "none": OutOfMemory(fits=0)})
    with pool.evaluator(task) as evaluator:
        five, all_fit, one, none, again = collect(evaluator.evaluate(["five", "all", "one", "none", "all"]), 5)
    chunks = [outcome.chunk for outcome in (five, all_fit, one, again) if isinstance(outcome, Evaluation)]
    assert chunks == [4, None, 1, None], "of 16; None is the campaign's"
    assert isinstance(none, Failure)
    assert none.message.startswith("Traceback")
    assert "1 examples at a time, where 0 fit" in none.message, "the last that was tried"


@pytest.mark.parametrize("chunk", [None, 8, 5, 1])
def test_a_racing_rule_is_asked_at_the_same_places_whatever_the_chunk(
    scorer: Scorer, genomes: list[str], expected: list[Measurement], chunk: int | None
) -> None:
    asked: list[int] = []
    found = scorer.score(genomes[0], When(lambda partial: bool(asked.append(partial.seen))), chunk)
    assert asked == [16, 32]
    assert found.complete
    assert found.loss == pytest.approx(expected[0].loss, rel=1e-4)


# A worker that computes wrongly


def test_a_worker_that_computes_wrongly_is_refused_before_any_candidate(
    pool: Pool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement]
) -> None:
    for broken, said in ((corrupted(scoring), "computes wrongly"), (unmerged(scoring), "same logits for different")):
        with pytest.raises(BadInput, match=said), pool.evaluator(broken) as evaluator:
            list(evaluator.evaluate(genomes))
    with pool.evaluator(scoring) as evaluator:
        assert_found(collect(evaluator.evaluate(genomes[:2]), 2), expected[:2])
