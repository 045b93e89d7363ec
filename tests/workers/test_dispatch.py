"""What only Ray's pool must bear: workers that die or hang, consumers that dawdle, machines that are too small.

A racing rule is a value that runs inside the worker after each chunk, so here it is also how a worker comes to harm.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from chaos.stub import Crash, Fault, Slow, StubTask, When, answer, numerics
from supernet.errors import BadInput
from supernet.evaluation import Measurement, Partial, ScoringTask
from supernet.trained import Trained
from workers import versions
from workers.cluster import _require_listening, require_resources
from workers.dispatch import RayEvaluator
from workers.evaluator import Evaluation, Evaluator, Failure, Outcome, Rules
from workers.local import LocalPool
from workers.pool import RayPool
from workers.pools import open_pool
from workers.settings import WorkerSettings
from workers.slots import Slot
from workers.spare import Spare
from workers.threads import threads_per_worker, training_threads
from workers.waiting import Candidate, Waiting

WORKERS = 3
TIMEOUT = 4.0  # seconds; a candidate of these tests takes some hundredths
pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def pool(ray_session: None) -> Iterator[RayPool]:
    pool = RayPool(WorkerSettings(count=WORKERS, threads=1, timeout=TIMEOUT, attempts=2))
    yield pool
    pool.close()


def collect(outcomes: Iterable[tuple[int, Outcome]], count: int) -> list[Outcome]:
    found = list(outcomes)
    assert sorted(index for index, _ in found) == list(range(count)), "each index once"
    return [outcome for _, outcome in sorted(found, key=lambda pair: pair[0])]


def assert_found(outcomes: Iterable[Outcome], expected: Iterable[Measurement]) -> None:
    for outcome, measured in zip(outcomes, expected, strict=True):
        assert isinstance(outcome, Evaluation), outcome
        assert (outcome.accuracy, outcome.loss, outcome.correct) == (measured.accuracy, measured.loss, measured.correct)


def until_all_are_at_work(evaluator: Evaluator, genomes: list[str]) -> None:
    """Ask until every worker has answered; those that are loading need the cores meanwhile."""
    seen: set[str] = set()
    while len(seen) < WORKERS:
        seen |= {outcome.worker for _, outcome in evaluator.evaluate(genomes)}
        time.sleep(0.2)


Act = Callable[[], None]


def death() -> Act:
    """Functions made here, not globals of this module: a worker cannot import it, so they must travel whole."""
    return lambda: os.kill(os.getpid(), signal.SIGKILL)


def hang() -> Act:
    return lambda: time.sleep(3600)


def once(marker: Path, act: Act) -> Rules:
    """Rules that drop nobody, and act in the first worker that asks one."""

    def rule(partial: Partial) -> bool:
        if not marker.exists():
            marker.touch()
            act()
        return False

    return lambda index: When(rule)


def always(act: Act) -> Rules:
    def rule(partial: Partial) -> bool:
        act()
        return False

    return lambda index: When(rule)


# Workers that die


def test_a_worker_killed_under_a_candidate_is_replaced_and_every_outcome_arrives(
    pool: RayPool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement], tmp_path: Path
) -> None:
    with pool.evaluator(scoring) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes, once(tmp_path / "died", death())), 6)
    assert (tmp_path / "died").exists()
    assert_found(outcomes, expected)


def test_a_worker_killed_between_two_calls_is_replaced_too(
    pool: RayPool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement], tmp_path: Path
) -> None:
    with pool.evaluator(scoring) as evaluator:
        write_pid = once(tmp_path / "asked", lambda: (tmp_path / "pid").write_text(str(os.getpid())) and None)
        collect(evaluator.evaluate(genomes[:1], write_pid), 1)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        assert_found(collect(evaluator.evaluate(genomes), 6), expected)


def test_a_candidate_that_kills_each_of_its_workers_is_a_failure(
    pool: RayPool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement]
) -> None:
    with pool.evaluator(scoring) as evaluator:
        (outcome,) = collect(evaluator.evaluate(genomes[:1], always(death())), 1)
        assert isinstance(outcome, Failure)
        assert (outcome.kind, outcome.message) == ("worker died", "2 workers died of it.")
        assert_found(collect(evaluator.evaluate(genomes[:2]), 2), expected[:2])


def test_a_supernet_under_which_workers_die_while_loading_is_given_up(scoring: ScoringTask, genomes: list[str]) -> None:
    class Deadly(Trained):
        def load_into(self, supernet: Any, *, head_only: bool = False) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    pool = RayPool(WorkerSettings(count=1, threads=1))
    deadly = replace(scoring, trained=Deadly(scoring.trained.tensors, 0.0))
    with (
        pytest.raises(BadInput, match=r"^3 workers in a row died while loading .* Lower workers\.count\.$"),
        pool.evaluator(deadly) as evaluator,
    ):
        list(evaluator.evaluate(genomes))
    pool.close()


# One that runs and one that lies ready

CRASH = Fault(Crash(), 2)


def fatal_and_harmless(fault: Fault, kinds: str) -> list[str]:
    """A genome for each letter: `f` meets the fault, `h` does not."""
    numbers = [str(number) for number in range(100)]
    fatal, harmless = [each for each in numbers if fault.hits(each)], [each for each in numbers if not fault.hits(each)]
    return [(fatal if kind == "f" else harmless).pop() for kind in kinds]


def test_what_waits_goes_out_in_order_and_what_comes_back_goes_first() -> None:
    waiting = Waiting("abcd")
    first, second = waiting.take(), waiting.take()
    assert (first, second) == (Candidate(0, "a"), Candidate(1, "b"))
    waiting.put_back([Candidate(0, "a"), Candidate(1, "b")])
    taken = [waiting.take() for _ in range(4)]
    assert [candidate.genome for candidate in taken if candidate] == ["a", "b", "c", "d"]
    assert waiting, "there may be more until it was asked"
    assert waiting.take() is None
    assert not waiting
    waiting.put_back([Candidate(3, "d")])
    assert waiting


def test_a_candidate_that_is_not_known_yet_counts_as_none_and_is_asked_for_again() -> None:
    waiting = Waiting(["a", None, None, "b"])
    assert [waiting.take() for _ in range(3)] == [Candidate(0, "a"), None, None]
    assert waiting, "there will be another"
    assert waiting.take() == Candidate(1, "b")


def test_a_candidate_keeps_its_racing_rule_however_often_it_goes_out() -> None:
    asked, rules = list[int](), [When(lambda partial: True), When(lambda partial: False)]

    def rule(index: int) -> When:
        asked.append(index)
        return rules[index]

    waiting = Waiting("ab", rule)
    one, two = waiting.take(), waiting.take()
    assert one is not None
    assert two is not None
    waiting.put_back([one, two])
    again = waiting.take(), waiting.take()
    assert [each.hopeless for each in again if each] == rules
    assert asked == [0, 1]


def test_the_next_may_depend_on_what_came_of_those_before(pool: RayPool) -> None:
    """As racing may: two at a time, the next two when both are known."""
    known: list[int] = []

    def genomes() -> Iterator[str | None]:
        for number in range(12):
            while len(known) < number - number % 2:
                yield None
            yield str(number)

    with pool.evaluator(StubTask(numerics(), (Fault(Slow(0.02), 3),))) as evaluator:
        for index, outcome in evaluator.evaluate(genomes()):
            assert isinstance(outcome, Evaluation)
            assert index // 2 == len(known) // 2
            known.append(index)
    assert sorted(known) == list(range(12))


def test_idle_workers_are_filled_before_anything_is_handed_out_ahead(pool: RayPool) -> None:
    with pool.evaluator(StubTask(numerics(), (Fault(Slow(0.5)),))) as evaluator:
        until_all_are_at_work(evaluator, ["a", "b", "c", "d"])
        assert len({outcome.worker for _, outcome in evaluator.evaluate(["a", "b", "c"])}) == WORKERS


def test_a_worker_has_one_candidate_ahead_and_no_more(pool: RayPool) -> None:
    taken: list[str] = []

    def genomes() -> Iterator[str]:
        for letter in "abcdefghijklmnopqrst":
            taken.append(letter)
            yield letter

    with pool.evaluator(StubTask(numerics())) as evaluator:
        until_all_are_at_work(evaluator, ["a", "b", "c", "d"])
        for done, (_, outcome) in enumerate(evaluator.evaluate(genomes())):
            assert isinstance(outcome, Evaluation)
            assert len(taken) <= done + 2 * WORKERS


def test_one_that_must_be_alone_goes_to_an_idle_worker_only() -> None:
    waiting = Waiting("abc")
    waiting.put_back([Candidate(7, "x", alone=True), Candidate(8, "y")])
    assert waiting.take(ahead=True) == Candidate(8, "y")
    assert waiting.take(ahead=True) == Candidate(0, "a")
    assert waiting.take() == Candidate(7, "x", alone=True)


def test_only_the_one_that_ran_is_charged_with_its_workers_death(tmp_path: Path) -> None:
    """With a single attempt, what lay ready behind it would fail too if it were charged."""
    genomes = fatal_and_harmless(CRASH, "fhh")
    task = StubTask(numerics(), (CRASH,), tmp_path / "log")
    pool = RayPool(WorkerSettings(count=1, threads=1, attempts=1))
    with pool.evaluator(task) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes), 3)
    pool.close()
    assert [type(outcome) for outcome in outcomes] == [Failure, Evaluation, Evaluation]
    assert [line.genome for line in task.begun() if line.genome] == genomes, "each once, what came back first"


def test_one_that_kills_its_workers_takes_no_other_with_it() -> None:
    """Candidates that take no time: a worker's answer on the first of two may die with it under the second."""
    genomes = fatal_and_harmless(CRASH, "hhfhfh")
    pool = RayPool(WorkerSettings(count=1, threads=1, attempts=2))
    with pool.evaluator(StubTask(numerics(), (CRASH,))) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes), 6)
    pool.close()
    failed = [outcome.message for outcome in outcomes if isinstance(outcome, Failure)]
    assert failed == ["2 workers died of it."] * 2
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [CRASH.hits(genome) for genome in genomes]


def test_a_result_that_is_there_once_its_worker_was_given_up_counts(
    pool: RayPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = Slot.kill

    def kill_late(slot: Slot) -> None:
        if slot.given:
            ray.wait([slot.call], timeout=60)
        kill(slot)

    late = Fault(Slow(TIMEOUT + 1), 4)
    genomes = [f"genome {number}" for number in range(8)]
    assert any(late.hits(genome) for genome in genomes)
    monkeypatch.setattr(Slot, "kill", kill_late)
    with pool.evaluator(StubTask(numerics(), (late,))) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes), 8)
    assert [outcome.accuracy for outcome in outcomes if isinstance(outcome, Evaluation)] == [
        answer(genome).accuracy for genome in genomes
    ]


# The spare


def test_a_lost_worker_is_replaced_by_the_spare_and_the_spare_by_another() -> None:
    spare = Spare()
    slot = Slot("the place", {"num_cpus": 1}, spare)
    evaluator = RayEvaluator(StubTask(numerics()), WorkerSettings(), [slot])
    assert spare.actor is None, "it would compete with those that are loading"
    collect(evaluator.evaluate(["a"]), 1)
    lost, ready = slot.actor, spare.actor
    slot.replace()
    assert slot.actor is ready is not lost
    (outcome,) = collect(evaluator.evaluate(["a"]), 1)
    assert outcome.worker == "the place"
    assert spare.actor is not None
    slot.stop()
    spare.stop()
    assert spare.actor is None


# Workers that hang, and consumers that dawdle


def test_a_candidate_that_hangs_is_a_failure_and_the_others_are_scored(
    pool: RayPool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement], tmp_path: Path
) -> None:
    with pool.evaluator(scoring) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes, once(tmp_path / "hung", hang())), 6)
        assert_found(collect(evaluator.evaluate(genomes), 6), expected)
    (late,) = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Failure)]
    failure = outcomes.pop(late)
    assert isinstance(failure, Failure)
    assert failure.kind == "timeout"
    assert failure.message == "No result within 4 s (workers.timeout)."
    assert failure.seconds >= TIMEOUT
    assert_found(outcomes, expected[:late] + expected[late + 1 :])


@pytest.mark.timeout(120)
def test_a_slow_consumer_is_not_charged_to_the_candidates(
    pool: RayPool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement]
) -> None:
    """Results that lie ready when it comes back are results, however long it was away."""
    outcomes = []
    with pool.evaluator(scoring) as evaluator:
        until_all_are_at_work(evaluator, genomes)
        for found in evaluator.evaluate(genomes):
            if not outcomes:
                time.sleep(TIMEOUT + 0.5)
            outcomes.append(found)
    assert_found(collect(outcomes, 6), expected)


@pytest.mark.timeout(120)
def test_leaving_while_candidates_hang_does_not_trouble_the_next_call(
    pool: RayPool, scoring: ScoringTask, genomes: list[str], expected: list[Measurement], tmp_path: Path
) -> None:
    with pool.evaluator(scoring) as evaluator:
        until_all_are_at_work(evaluator, genomes)
        for _ in evaluator.evaluate(genomes, once(tmp_path / "hung", hang())):
            break
        assert_found(collect(evaluator.evaluate(genomes), 6), expected)
        until_all_are_at_work(evaluator, genomes)


# Machines that are too small


def test_a_worker_that_fits_on_no_node_is_refused_with_what_there_is() -> None:
    has = r"but the nodes have 4 CPUs and 2 GPUs\. Lower workers\.threads or workers\.gpus_per_worker"
    with pytest.raises(BadInput, match=rf"^A worker needs 5 CPUs and 0 GPUs on one node, {has}"):
        RayPool(WorkerSettings(threads=5))
    with pytest.raises(BadInput, match=rf"^A worker needs 1 CPUs and 2\.5 GPUs on one node, {has}"):
        RayPool(WorkerSettings(threads=1, gpus_per_worker=2.5))
    require_resources(4, 2)


def test_workers_that_find_no_room_do_not_hold_up_the_others(
    scoring: ScoringTask, genomes: list[str], expected: list[Measurement]
) -> None:
    """Two workers of two GPUs each, where there are two."""
    pool = RayPool(WorkerSettings(count=2, threads=1, gpus_per_worker=2))
    with pool.evaluator(scoring) as evaluator:
        outcomes = collect(evaluator.evaluate(genomes), 6)
    assert_found(outcomes, expected)
    assert len({outcome.worker for outcome in outcomes}) == 1
    pool.close()


# The door


def test_the_settings_name_the_pool_and_a_connection_that_was_there_stays() -> None:
    with open_pool(WorkerSettings(backend="local")) as local:
        assert isinstance(local, LocalPool)
    with open_pool(WorkerSettings(threads=1)) as pool:
        assert isinstance(pool, RayPool)
    assert ray.is_initialized()


def test_a_worker_of_other_versions_is_refused_with_both() -> None:
    versions.require_same(versions.here())
    with pytest.raises(BadInput, match=r"^The driver has glora-search 0\.0, torch 1\.0, a worker has glora-search \d"):
        versions.require_same("glora-search 0.0, torch 1.0")


def test_workers_share_the_cores_and_training_has_them_all_whatever_their_number() -> None:
    cores = len(os.sched_getaffinity(0))
    for count in (1, 2, 3, 2 * cores):
        settings = WorkerSettings(count=count)
        assert 1 <= threads_per_worker(settings) <= cores
        assert training_threads(settings) == cores
    assert threads_per_worker(WorkerSettings(count=7, threads=3)) == 3
    assert training_threads(WorkerSettings(count=7, threads=3)) == 3


def test_where_nothing_listens_is_a_sentence_and_not_minutes_of_trying() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OSError, match=r"refused"):
        _require_listening(f"127.0.0.1:{port}")


def test_evaluators_of_one_pool_are_not_nested(pool: RayPool, scoring: ScoringTask) -> None:
    with (
        pool.evaluator(scoring),
        pytest.raises(AssertionError, match="share its actors"),
        pool.evaluator(scoring),
    ):
        pass


def test_a_candidate_that_kills_every_worker_fails_also_where_all_are_loading_again(
    ray_session: None, scoring: ScoringTask, genomes: list[str]
) -> None:
    """With nothing else to do and nothing in flight, the replacements must still be waited for."""
    pool = RayPool(WorkerSettings(count=2, threads=1, attempts=3))
    try:
        with pool.evaluator(scoring) as evaluator:
            (outcome,) = collect(evaluator.evaluate(genomes[:1], always(death())), 1)
    finally:
        pool.close()
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.message) == ("worker died", "3 workers died of it.")
