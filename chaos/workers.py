"""Workers that are killed, hang, run out of memory or are thought dead: what becomes of their candidates.

A stand-in scores, so that what is asked for is known; Ray's actors and the dispatcher are the real ones.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import ray

from chaos import stub
from chaos.figures import Figure, at_most, below, exactly
from chaos.stub import Fault, Figures, OutOfMemory, Raise, Slow, StubTask, When, answer, numerics
from workers.cluster import connected
from workers.dispatch import RayEvaluator
from workers.evaluator import Evaluation, Evaluator, Failure, Outcome
from workers.local import LocalEvaluator
from workers.settings import WorkerSettings
from workers.slots import Slot
from workers.spare import Spare
from workers.waiting import Candidate, Waiting

Found = list[tuple[int, Outcome]]

# Ray's workers need not find this folder: what is ours travels whole.
for module in (stub, sys.modules[__name__]):
    ray.cloudpickle.register_pickle_by_value(module)


# ---- T2


def deaths(
    folder: Path, evaluations: int = 120, kills: int = 8, workers: int = 3, gives_up: bool = False
) -> list[Figure]:
    """Somebody kills a worker now and then. `gives_up` breaks it: a candidate is lost with its first worker."""
    task = StubTask(numerics(), (Fault(Slow(0.05)),), folder / "log")
    settings = WorkerSettings(count=workers, threads=1, attempts=1 if gives_up else 4)
    genomes = [f"genome {number}" for number in range(evaluations)]
    with _on_ray(task, settings) as evaluator, _killer(task, kills, evaluations // (kills + 1)) as killed:
        found = list(evaluator.evaluate(genomes))
    begun = Counter(line.genome for line in task.begun() if line.genome)
    return [
        exactly("workers killed", len(killed), kills),
        *_all_as_answered(genomes, found),
        at_most("times that one candidate was begun", max(begun.values()), 4),
        at_most("candidates begun again", begun.total() - evaluations, 2 * kills),
    ]


@contextmanager
def _killer(task: StubTask, kills: int, every: int) -> Iterator[list[int]]:
    """SIGKILLs a random worker each time that so many more candidates were begun; who was killed so far."""
    killed: list[int] = []
    over = threading.Event()

    def run() -> None:
        draw = np.random.default_rng(0)
        while len(killed) < kills and not over.wait(0.01):
            lines = task.begun()
            alive = sorted({line.pid for line in lines if _alive(line.pid)})
            if alive and sum(bool(line.genome) for line in lines) >= every * (len(killed) + 1):
                killed.append(int(draw.choice(alive)))
                os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def _alive(pid: int) -> bool:
    """Whether it is a worker still; a number may go to another process."""
    try:
        return b"ScoringActor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


# ---- T3


def hangs(
    folder: Path,
    candidates: int = 40,
    one_in: int = 20,
    seconds: float = 0.5,
    timeout: float = 5.0,
    workers: int = 2,
    forgets: bool = False,
) -> list[Figure]:
    """Some candidates never end, the others take so many seconds. `forgets` breaks it: what lay behind one is lost."""
    hang = Fault(Slow(), one_in)
    task = StubTask(numerics(), (hang, Fault(Slow(seconds))), folder / "log")
    genomes = list(_mixed(hang, candidates, one_in))
    found: list[tuple[float, int, Outcome]] = []  # with the moment it came

    def asked() -> Iterator[str]:
        """The candidates, and fillers until every hung worker has scored again."""
        yield from genomes
        yield from takewhile(lambda _: len(_returns(found)) < candidates // one_in, _genomes(hang, hit=False))

    settings = WorkerSettings(count=workers, threads=1, timeout=timeout)
    with _on_ray(task, settings, Forgetful if forgets else RayEvaluator) as evaluator:
        for index, outcome in evaluator.evaluate(asked()):
            found.append((time.monotonic(), index, outcome))
    began = {line.genome: line.moment for line in task.begun()}
    marks = {genomes[index]: moment for moment, index, outcome in found if _is_timeout(outcome)}
    others = [index for index, genome in enumerate(genomes) if not hang.hits(genome)]
    return [
        exactly("candidates that hang and failed as timeouts", len(marks), candidates // one_in),
        *_all_as_answered(genomes, [(index, outcome) for _, index, outcome in found if index in others], others),
        at_most(
            f"from a hang's beginning to its mark at worst, for a timeout of {timeout:g} s",
            max((moment - began[genome] for genome, moment in marks.items()), default=0.0),
            timeout + 3,
            "s",
            timed=True,
        ),
        below("from a mark to its worker's next result at worst", max(_returns(found), default=0.0), 3, "s"),
    ]


class Forgetful(RayEvaluator):
    """Loses what lay ready behind a candidate that hangs."""

    def _give_up(self, slot: Slot, waiting: Waiting) -> tuple[Candidate, Outcome]:
        while len(slot.given) > 1:
            slot.given.pop()
        return super()._give_up(slot, waiting)


def _is_timeout(outcome: Outcome) -> bool:
    return isinstance(outcome, Failure) and outcome.kind == "timeout"


def _returns(found: Sequence[tuple[float, int, Outcome]]) -> list[float]:
    """Seconds from each timeout to the next result of the same worker, where there is one."""
    marked: dict[str, float] = {}  # worker -> moment
    returns = []
    for moment, _, outcome in found:
        if _is_timeout(outcome):
            marked[outcome.worker] = moment
        elif outcome.worker in marked:
            returns.append(moment - marked.pop(outcome.worker))
    return returns


# ---- T4


def out_of_memory(folder: Path, candidates: int = 60, halves: bool = True) -> list[Figure]:
    """Some candidates need more memory than there is, some at any chunk. Without `halves` nobody tries with less."""
    few, none = Fault(OutOfMemory(fits=5), one_in=3), Fault(OutOfMemory(fits=0), one_in=5)
    task = StubTask(numerics(chunk=16), (few, none), folder / "log")
    genomes = [f"genome {number}" for number in range(candidates)]
    never = {genome for genome in genomes if none.hits(genome)}
    halved = {genome for genome in genomes if few.hits(genome)} - never
    with nullcontext() if halves else patch("workers.evaluator.is_out_of_memory", lambda error: False):
        outcomes = {genomes[index]: outcome for index, outcome in LocalEvaluator(task).evaluate(genomes)}
    chunks = {genome: found.chunk for genome, found in outcomes.items() if isinstance(found, Evaluation)}
    told = [found for found in outcomes.values() if isinstance(found, Failure) and found.kind == "out of memory"]
    begun = Counter(line.genome for line in task.begun())
    return [
        exactly("scored 4 at a time, where 5 fit", sum(chunks.get(each) == 4 for each in halved), len(halved)),
        exactly("of these begun three times (16, 8, 4)", sum(begun[each] == 3 for each in halved), len(halved)),
        exactly(
            "scored 16 at a time, where all fit",
            sum(each is None for each in chunks.values()),
            candidates - len(never | halved),
        ),
        exactly("failed, where not one fits", len(outcomes.keys() - chunks.keys()), len(never)),
        exactly("of these with a traceback", sum("OutOfMemory" in each.message for each in told), len(never)),
    ]


# ---- T11


def false_death(folder: Path, candidates: int = 8, timeout: float = 2.0, looks_again: bool = True) -> list[Figure]:
    """A worker is given up, and its result comes in before it is killed. Without `looks_again` that is not seen."""
    late = Fault(Slow(timeout + 1), candidates)
    task = StubTask(numerics(), (late,), folder / "log")
    genomes = list(_mixed(late, candidates, candidates))
    settings = WorkerSettings(count=1, threads=1, timeout=timeout)
    with _on_ray(task, settings, slot=SlowToDie if looks_again else Hasty) as evaluator:
        found = list(evaluator.evaluate(genomes))
    loads = sum(not line.genome for line in task.begun())
    return [exactly("workers given up", loads - 1, 1), *_all_as_answered(genomes, found)]


class SlowToDie(Slot):
    """Its actor is killed only once its result is there: as with a network that stalls."""

    def kill(self) -> None:
        if self.given:
            ray.wait([self.call], timeout=60)
        super().kill()


class Hasty(SlowToDie):
    """Does not look again at what it gave up."""

    def late(self) -> tuple[Candidate, Outcome] | None:
        return None


# ---- T10


def one_result_for_any_number_of_workers(
    folder: Path, candidates: int = 120, workers: Sequence[int] = (1, 2, 8), confuses: bool = False
) -> list[Figure]:
    """Outcomes of all kinds, in whatever order they come. `confuses` breaks it: they are numbered as they come."""
    faults = (
        Fault(Slow(0.05), 3),
        Fault(Raise(), 9),
        Fault(Figures(loss=float("nan")), 11),
        Fault(OutOfMemory(fits=3), 7),
    )
    task = StubTask(numerics(), faults)
    genomes = [f"genome {number}" for number in range(candidates)]
    expected = [_bare(outcome) for _, outcome in LocalEvaluator(task).evaluate(genomes, _below_half)]
    kinds = {type(outcome) for outcome in expected}
    figures = [exactly("kinds of outcomes (evaluation, failure, raced)", len(kinds), 3)]
    for number in workers:
        settings = WorkerSettings(count=number, threads=1)
        with _on_ray(task, settings, Confused if confuses else RayEvaluator) as evaluator:
            found = dict(evaluator.evaluate(genomes, _below_half))
        others = sum(_bare(found[index]) != outcome for index, outcome in enumerate(expected) if index in found)
        figures += [
            exactly(f"outcomes from Ray with {number} workers", len(found), candidates),
            exactly("of these other than in this process", others, 0),
        ]
    return figures


class Confused(RayEvaluator):
    """Takes the order in which outcomes come for the order in which they were asked for."""

    def evaluate(self, *arguments: object) -> Iterator[tuple[int, Outcome]]:
        for index, (_, outcome) in enumerate(super().evaluate(*arguments)):  # type: ignore[arg-type]
            yield index, outcome


def _below_half(index: int) -> When:
    """Whoever is wrong more often than right is dropped."""
    return When(lambda partial: 2 * partial.correct < partial.seen)


def _bare(outcome: Outcome) -> Outcome:
    """Without what may differ: the time, the place, and the lines of a traceback."""
    bare = replace(outcome, seconds=0.0, worker="")
    return replace(bare, message="") if isinstance(bare, Failure) else bare


# ---- what they share


@contextmanager
def _on_ray(
    task: StubTask, settings: WorkerSettings, kind: type[RayEvaluator] = RayEvaluator, slot: type[Slot] = Slot
) -> Iterator[Evaluator]:
    """The evaluator on actors of its own."""
    with connected(settings):
        spare = Spare()
        slots = [slot(f"ray-{number}", {"num_cpus": settings.threads}, spare) for number in range(settings.count)]
        try:
            yield kind(task, settings, slots)
        finally:
            for each in slots:
                each.stop()
            spare.stop()


def _genomes(fault: Fault, hit: bool) -> Iterator[str]:
    """Genomes that meet the fault, or that do not, without end."""
    return (genome for genome in map("genome {}".format, count()) if fault.hits(genome) == hit)


def _mixed(fault: Fault, candidates: int, one_in: int) -> Iterator[str]:
    """So many genomes, of which the middle one of each `one_in` meets the fault."""
    hit, spared = _genomes(fault, hit=True), _genomes(fault, hit=False)
    return (next(hit if number % one_in == one_in // 2 else spared) for number in range(candidates))


def _all_as_answered(genomes: Sequence[str], found: Found, asked: Sequence[int] | None = None) -> list[Figure]:
    """Each candidate asked for came once, with what the stand-in answers."""
    wanted = set(range(len(genomes)) if asked is None else asked)
    times = Counter(index for index, _ in found)
    done = {index: outcome for index, outcome in found if isinstance(outcome, Evaluation)}
    wrong = 0
    for index, outcome in done.items():
        expected = answer(genomes[index])
        figures = (outcome.accuracy, outcome.loss, outcome.correct, outcome.parameters)
        wrong += figures != (expected.accuracy, expected.loss, expected.correct, stub.parameters(genomes[index]))
    return [
        exactly(f"candidates done, of {len(wanted)}", len(done.keys() & wanted), len(wanted)),
        exactly("reported twice", sum(each > 1 for each in times.values()), 0),
        exactly("with other figures than asked for", wrong, 0),
    ]
