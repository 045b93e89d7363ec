"""The evaluator port: what holds in process holds on Ray, to the last bit."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from supernet.data import Split
from supernet.errors import BadInput, Corrupt
from supernet.evaluation import Measurement, Partial, Scorer, ScoringTask
from supernet.trained import Trained
from workers.evaluator import Evaluation, Failure, Outcome, Raced
from workers.provides import require_provided
from workers.trainer import Pool


def collect(outcomes: Iterable[tuple[int, Outcome]], count: int) -> list[Outcome]:
    """In the order asked for, each index having come exactly once."""
    found = list(outcomes)
    assert sorted(index for index, _ in found) == list(range(count))
    return [outcome for _, outcome in sorted(found, key=lambda pair: pair[0])]


def assert_found(outcomes: Iterable[Outcome], expected: Iterable[Measurement]) -> None:
    for outcome, measured in zip(outcomes, expected, strict=True):
        assert isinstance(outcome, Evaluation), outcome
        assert (outcome.accuracy, outcome.loss, outcome.correct) == (measured.accuracy, measured.loss, measured.correct)


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
    assert (bad.kind, bad.message) == ("not finite", "The loss of 16 examples is not finite.")
    assert_found([first, second], [scorer.score(well)] * 2)


def test_a_racing_rule_travels_and_drops_whom_it_drops_here(
    pool: Pool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement], scorer: Scorer
) -> None:
    limit = sorted(scorer.score(genome, lambda partial: True).partial.correct for genome in genomes)[3]

    def rule(partial: Partial) -> bool:
        return partial.correct < limit

    with pool.evaluator(scoring) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes, rule), len(genomes))
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
        outcomes = collect(evaluator.evaluate(genomes[:2], broken), 2)
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
