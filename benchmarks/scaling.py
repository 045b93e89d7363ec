"""Do more workers pay, and does one driver keep 64 of them busy?

Strong scaling: the same candidates on two Ray workers of one thread each, over one worker of one thread and over one
worker of two.

The 64 workers are simulated: their places share one process that answers after a sleep, each place one candidate after
the other, as an actor would. Slots, hand-out, store and evolution are the real ones. With answers after SLEEP the
places together could answer every SLEEP / 64 seconds; what a candidate takes beyond that 1 ms is the driver's own time
and Ray's.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from benchmarks.figures import Figure, at_least, at_most, beside
from benchmarks.setting import DIGITS, Setting, read, untrained
from benchmarks.timing import Times
from chaos.stub import StubTask, answer, numerics, parameters
from chaos.tiny import tiny
from db.records import State
from db.store import open_store
from glora_search.control import Control
from glora_search.display import Silent
from glora_search.driving import driving
from glora_search.inputs import prepare
from glora_search.searching import search
from glora_search.settings import read_config
from supernet.trained import Trained
from workers.cluster import connected
from workers.dispatch import RayEvaluator
from workers.evaluator import Evaluation, Evaluator, Outcome, Scorable
from workers.pools import open_pool
from workers.settings import WorkerSettings
from workers.slots import Slot

PLACES, SLEEP = 64, 0.064  # seconds: a candidate every millisecond


def scaling(
    work: Path, config: Path = DIGITS, candidates: int = 48, turns: int = 3, simulated: int = 2560
) -> list[Figure]:
    return [*strong(read(config), candidates, turns), *crowd(simulated)]


# ---- one worker and two


def strong(setting: Setting, candidates: int, turns: int) -> list[Figure]:
    """Pools are opened in turn, since together they would share the cores; each one's start is not counted."""
    shapes = {"two": (2, 1), "one": (1, 1), "threaded": (1, 2)}  # workers, threads of each
    seconds: dict[str, list[float]] = {name: [] for name in shapes}
    for _ in range(turns):
        for name, (count, threads) in shapes.items():
            seconds[name].append(_seconds(setting, candidates, count, threads))
    times = Times({name: tuple(each) for name, each in seconds.items()})
    return [
        at_least(
            "two_workers",
            "one Ray worker over two, one thread each, the same candidates",
            times.ratio("one", "two"),
            1.6,
        ),
        at_least(
            "two_workers_over_threads",
            "one Ray worker of two threads over two of one, the same",
            times.ratio("threaded", "two"),
            1.0,
        ),
    ]


def _seconds(setting: Setting, candidates: int, count: int, threads: int) -> float:
    """Of the candidates on a pool of such workers, which have scored two each before."""
    with _workers(setting, count, threads) as evaluator:
        _score(evaluator, setting, range(candidates, candidates + 2 * count))
        begin = time.perf_counter()
        _score(evaluator, setting, range(candidates))
        return time.perf_counter() - begin


@contextmanager
def _workers(setting: Setting, count: int, threads: int) -> Iterator[Evaluator]:
    shaped = replace(setting, numerics=replace(setting.numerics, threads_per_worker=threads))
    task = shaped.scoring(untrained(setting.inputs))
    with open_pool(WorkerSettings(backend="ray", count=count, threads=threads)) as pool, pool.evaluator(task) as ready:
        yield ready


def _score(evaluator: Evaluator, setting: Setting, numbers: range) -> list[Outcome]:
    """The outcomes of the random genomes of these numbers, in their order."""
    found = dict(evaluator.evaluate([setting.draw(number) for number in numbers]))
    return [found[index] for index in range(len(numbers))]


# ---- a driver and 64 places


@ray.remote
class Crowd:
    """What answers for all places: a place's candidates one after the other, different places at the same time."""

    def __init__(self) -> None:
        self.turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self, name: str, task: Scorable, driver: str) -> None:
        """As workers.actors.ScoringActor."""

    async def score(self, place: str, genome: str, hopeless: object, seconds: float) -> Outcome:
        async with self.turns[place]:
            await asyncio.sleep(seconds)
        found = answer(genome)
        figures = found.accuracy, found.loss, parameters(genome), found.correct
        return Evaluation(*figures, seconds, place, losses=found.losses)


class Place:
    """One of the crowd, which a slot calls as it calls an actor of its own."""

    def __init__(self, crowd: Any, name: str) -> None:
        self.load = crowd.load
        self.score = _Method(lambda genome, hopeless: crowd.score.remote(name, genome, hopeless, SLEEP))


@dataclass(frozen=True)
class _Method:
    remote: Callable[..., Any]


@dataclass(frozen=True)
class CrowdPool:
    """A pool whose evaluator has so many simulated workers."""

    settings: WorkerSettings
    crowd: Any
    places: int = PLACES

    @contextmanager
    def evaluator(self, task: Scorable, patience: float = 1.0) -> Iterator[Evaluator]:
        names = [f"place-{number}" for number in range(self.places)]
        slots = [Slot(name, {}, actor=Place(self.crowd, name)) for name in names]
        yield RayEvaluator(StubTask(numerics()), self.settings, slots, patience)


@contextmanager
def gathered(settings: WorkerSettings) -> Iterator[CrowdPool]:
    """The pool, once the process that answers for its places has started."""
    with connected(settings.model_copy(update={"count": 1})):  # Ray starts a process for each CPU it is told of
        crowd = Crowd.options(num_cpus=0, max_concurrency=4 * PLACES).remote()  # type: ignore[attr-defined]
        ray.get(crowd.load.remote("", None, ""))
        try:
            yield CrowdPool(settings, crowd)
        finally:
            ray.kill(crowd)


def crowd(candidates: int, population: int = 640) -> list[Figure]:
    """A search of so many candidates on the simulated workers."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        wall, busy = _driven(Path(name), candidates, min(population, candidates // 2))
    return [
        at_most("driver_milliseconds", f"a candidate with {PLACES} simulated workers, {SLEEP:g} s each", wall, 2, "ms"),
        beside("driver_busy_milliseconds", "of that, computing in the driver's own thread", busy, "ms"),
    ]


def _driven(folder: Path, candidates: int, population: int) -> tuple[float, float]:
    """(milliseconds a candidate of the search, of these in which its thread computed)."""
    half = population // 2
    sizes = {"population": 2 * half, "generations": candidates // (2 * half) - 1, "crossover": half, "mutation": half}
    settings = read_config(tiny(folder, search=sizes, workers={"backend": "ray", "count": PLACES, "threads": 1}))
    inputs = prepare(settings)
    with open_store(str(folder / "glora.db")) as store, gathered(settings.workers) as pool:
        store.create_campaign(settings.name, settings.model_dump(mode="json"), settings.seed)
        store.set_state(settings.name, State.SEARCHING)
        with driving(store, settings.name) as held:  # every write is fenced, as a driver's is
            control = Control(held, settings.name)
            begin, computed = time.perf_counter(), time.thread_time()
            search(inputs, Trained({}, 0.0), numerics(), pool, held, Silent(), control)  # type: ignore[arg-type]
            wall, busy = time.perf_counter() - begin, time.thread_time() - computed
        done = store.progress(settings.name).completed
    return 1000 * wall / done, 1000 * busy / done
