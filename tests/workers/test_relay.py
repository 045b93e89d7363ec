"""A process forked from the driver answers until Ray's workers can; whatever becomes of it harms no candidate."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.stub import Crash, Fault, Raise, Slow, StubTask, answer, numerics
from supernet.errors import BadInput
from supernet.evaluation import Measurement, ScoringTask
from workers import relay
from workers.evaluator import Evaluation, Failure, Outcome
from workers.forerunner import MODEST, NAME, Forerunner, Gone, fork, forked
from workers.pool import RayPool
from workers.settings import WorkerSettings
from workers.waiting import Candidate

pytestmark = [
    pytest.mark.usefixtures("ray_session"),
    pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere"),
]
GENOMES = [f"genome {number}" for number in range(24)]


@pytest.fixture
def ahead() -> Iterator[Forerunner]:
    with fork() as forerunner:
        yield forerunner


@pytest.fixture
def pool(ahead: Forerunner) -> Iterator[RayPool]:
    pool = RayPool(WorkerSettings(count=1, threads=1, attempts=1), forerunner=ahead)
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ALONE", 0.2)


def found(outcomes: Iterable[tuple[int, Outcome]], count: int = len(GENOMES)) -> list[Outcome]:
    pairs = sorted(outcomes, key=lambda pair: pair[0])
    assert [index for index, _ in pairs] == list(range(count)), "each index once"
    return [outcome for _, outcome in pairs]


def assert_answered(outcomes: Iterable[Outcome], genomes: Iterable[str]) -> None:
    for outcome, genome in zip(outcomes, genomes, strict=True):
        assert isinstance(outcome, Evaluation), outcome
        expected = answer(genome)
        assert (outcome.accuracy, outcome.correct) == (expected.accuracy, expected.correct)


# ---- it answers as a worker would


def test_it_answers_to_the_last_bit_as_without_it_and_then_the_workers_do(
    pool: RayPool,
    ahead: Forerunner,
    scoring: ScoringTask,
    genomes: list[str],
    expected: list[Measurement],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "ALONE", 3600.0)  # Ray waits for its first answer, however busy the machine is
    seen: list[str] = []
    with pool.evaluator(scoring) as evaluator:
        while NAME in seen[-1:] or not seen:
            outcomes = found(evaluator.evaluate(genomes), len(genomes))
            for outcome, measured in zip(outcomes, expected, strict=True):
                assert isinstance(outcome, Evaluation), outcome
                assert (outcome.loss, outcome.correct) == (measured.loss, measured.correct)
            seen += [outcome.worker for outcome in outcomes]
    assert seen[0] == NAME
    assert seen[-1] == "ray-0"
    assert NAME not in seen[seen.index("ray-0") :]
    assert not ahead.alive


def test_ray_is_not_started_before_the_first_answer(ahead: Forerunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ALONE", 3600.0)
    started: list[int] = []
    pool = RayPool(WorkerSettings(count=1, threads=1), connect=lambda: started.append(len(heard)), forerunner=ahead)
    heard: list[Outcome] = []
    assert started == []
    with pool.evaluator(StubTask(numerics())) as evaluator:
        for _, outcome in evaluator.evaluate(GENOMES):
            heard.append(outcome)
    pool.close()
    assert started == [1]


def test_who_takes_long_over_the_first_does_not_hold_up_ray(pool: RayPool) -> None:
    task = StubTask(numerics(), (Fault(Slow(0.5)),))
    with pool.evaluator(task) as evaluator:
        assert_answered(found(evaluator.evaluate(GENOMES[:4]), 4), GENOMES[:4])


def test_what_the_next_is_may_depend_on_what_came_of_those_before(pool: RayPool) -> None:
    outcomes: dict[int, Outcome] = {}

    def genomes() -> Iterator[str | None]:
        for number, genome in enumerate(GENOMES):
            while len(outcomes) < number - 2:
                yield None
            yield genome

    with pool.evaluator(StubTask(numerics())) as evaluator:
        for index, outcome in evaluator.evaluate(genomes()):
            outcomes[index] = outcome
    assert_answered(found(outcomes.items()), GENOMES)


def test_each_evaluator_has_its_own_task(pool: RayPool) -> None:
    with pool.evaluator(StubTask(numerics(), (Fault(Raise()),))) as evaluator:
        assert all(isinstance(outcome, Failure) for outcome in found(evaluator.evaluate(GENOMES[:2]), 2))
    with pool.evaluator(StubTask(numerics())) as evaluator:
        assert_answered(found(evaluator.evaluate(GENOMES)), GENOMES)


# ---- whatever becomes of it


def test_a_candidate_that_it_died_of_is_tried_by_a_worker_and_not_charged(pool: RayPool, tmp_path: Path) -> None:
    task = StubTask(numerics(), (Fault(Crash(), one_in=3, once=tmp_path),))
    mortal = [genome for genome in GENOMES if task.faults[0].hits(genome)]
    assert mortal
    with pool.evaluator(task) as evaluator:
        outcomes = found(evaluator.evaluate(GENOMES[: GENOMES.index(mortal[0]) + 1]), GENOMES.index(mortal[0]) + 1)
    assert_answered(outcomes, GENOMES[: len(outcomes)])
    assert outcomes[-1].worker == "ray-0"


def test_a_candidate_that_hangs_in_it_is_begun_again_once_a_worker_is_ready(pool: RayPool, tmp_path: Path) -> None:
    task = StubTask(numerics(), (Fault(Slow(), once=tmp_path),), log=tmp_path / "log")
    with pool.evaluator(task) as evaluator:
        outcomes = evaluator.evaluate(GENOMES[:1])
        assert_answered(found(outcomes, 1), GENOMES[:1])
    assert [line.genome for line in task.begun()].count(GENOMES[0]) == 2


def test_a_task_that_it_cannot_load_is_said_to_be_wrong_by_a_worker(
    pool: RayPool, scoring: ScoringTask, genomes: list[str]
) -> None:
    elsewhere = replace(scoring, numerics=replace(scoring.numerics, device_kind="cpu of another kind"))
    with pytest.raises(BadInput, match="cpu of another kind"), pool.evaluator(elsewhere) as evaluator:
        list(evaluator.evaluate(genomes))


def test_a_rule_that_does_not_travel_by_pickle_goes_with_its_candidate_to_a_worker(pool: RayPool) -> None:
    class Local:
        order = None

        def __call__(self, partial: Any) -> bool:
            return False

    with pool.evaluator(StubTask(numerics())) as evaluator:
        outcomes = found(evaluator.evaluate(GENOMES[:3], lambda index: Local() if index == 1 else None), 3)
    assert_answered(outcomes, GENOMES[:3])
    assert outcomes[1].worker == "ray-0"


def test_leaving_early_does_not_trouble_the_next_call(pool: RayPool) -> None:
    with pool.evaluator(StubTask(numerics(), (Fault(Slow(0.05)),))) as evaluator:
        for _ in evaluator.evaluate(GENOMES):
            break
        assert_answered(found(evaluator.evaluate(GENOMES[::-1])), GENOMES[::-1])


def test_what_it_had_is_known_when_it_is_gone(ahead: Forerunner) -> None:
    ahead.load(StubTask(numerics(), (Fault(Crash()),)))
    given = [Candidate(number, genome) for number, genome in enumerate(GENOMES[:2])]
    for candidate in given:
        ahead.submit(candidate)
    with pytest.raises(Gone):
        ahead.collect(60)
    with pytest.raises(Gone):
        ahead.submit(Candidate(2, GENOMES[2]))
    assert ahead.stop() == [*given, Candidate(2, GENOMES[2])]
    assert not ahead.alive


def test_a_task_that_does_not_travel_by_pickle_is_a_workers_and_no_earlier_task_answers_for_it(pool: RayPool) -> None:
    class Local(StubTask):
        pass

    with pool.evaluator(StubTask(numerics(), (Fault(Raise()),))) as evaluator:
        assert all(isinstance(outcome, Failure) for outcome in found(evaluator.evaluate(GENOMES[:2]), 2))
    with pool.evaluator(Local(numerics())) as evaluator:
        outcomes = found(evaluator.evaluate(GENOMES[:3]), 3)
    assert_answered(outcomes, GENOMES[:3])
    assert {outcome.worker for outcome in outcomes} == {"ray-0"}


def test_a_task_without_candidates_is_not_sent(ahead: Forerunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that never ends could then never hold up the next one."""
    sent: list[object] = []
    monkeypatch.setattr(ahead._pipe, "send", sent.append)
    pool = RayPool(WorkerSettings(count=1, threads=1), forerunner=ahead)
    with pool.evaluator(StubTask(numerics())) as evaluator:
        assert list(evaluator.evaluate([])) == []
    pool.close()
    assert sent == []


def test_every_thread_of_it_steps_back_when_ray_starts(
    ahead: Forerunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid, seen = ahead._process.pid, list[set[int]]()

    def connect() -> None:
        threads = [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
        seen.append({os.getpriority(os.PRIO_PROCESS, thread) for thread in threads})

    pool = RayPool(WorkerSettings(count=1, threads=1), connect=connect, forerunner=ahead)
    with pool.evaluator(StubTask(numerics(), (Fault(Slow(0.1)),))) as evaluator:
        assert_answered(found(evaluator.evaluate(GENOMES[:6]), 6), GENOMES[:6])
    pool.close()
    assert seen == [{MODEST}]


# ---- it leaves nothing behind


def test_it_ends_with_its_context_also_under_a_candidate_that_hangs() -> None:
    with fork() as forerunner:
        forerunner.load(StubTask(numerics(), (Fault(Slow()),)))
        forerunner.submit(Candidate(0, GENOMES[0]))
        (process,) = (each for each in psutil.Process().children() if each.pid == forerunner._process.pid)
    assert not process.is_running()


SCRIPT = """
import sys, time
from pathlib import Path
from chaos.stub import Fault, Slow, StubTask, numerics
from workers.forerunner import fork
from workers.waiting import Candidate
log = Path(sys.argv[1])
with fork() as forerunner:
    forerunner.load(StubTask(numerics(), (Fault(Slow()),), log=log))
    forerunner.submit(Candidate(0, "hangs"))
    time.sleep(3600)
"""


def test_it_dies_with_a_driver_that_is_killed_also_under_a_candidate_that_hangs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(log)], cwd=Path(__file__).parents[2]) as driver:
        until(lambda: log.exists() and "hangs" in log.read_text())
        child = psutil.Process(int(log.read_text().split()[0]))
        driver.send_signal(signal.SIGKILL)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_signals_of_the_terminal_are_the_drivers_affair(ahead: Forerunner) -> None:
    ahead.load(StubTask(numerics(), (Fault(Slow(0.5)),)))
    ahead.submit(Candidate(0, GENOMES[0]))
    time.sleep(0.2)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(ahead._process.pid, number)
    until(lambda: (ahead.collect(0.1) or (None,))[0] == Candidate(0, GENOMES[0]))


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("it never came true")


# ---- where there is none


@pytest.mark.parametrize(
    "settings",
    [
        WorkerSettings(backend="local"),
        WorkerSettings(address="127.0.0.1:6379"),
        WorkerSettings(gpus_per_worker=0.5),
    ],
    ids=["in process", "on a cluster", "on GPUs"],
)
def test_what_would_be_no_workers_like_is_not_forked(settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray")
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with forked(settings) as forerunner:
        assert forerunner is None
    with forked(WorkerSettings()) as forerunner:
        assert forerunner is not None


def test_a_process_that_has_threads_or_ray_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with forked(WorkerSettings()) as forerunner:
        assert forerunner is None
    monkeypatch.delitem(sys.modules, "ray")
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    with forked(WorkerSettings()) as forerunner:
        assert forerunner is None


def test_where_none_can_be_forked_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.delitem(sys.modules, "ray")
    monkeypatch.setattr(os, "fork", full)
    with forked(WorkerSettings()) as forerunner:
        assert forerunner is None
