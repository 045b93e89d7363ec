"""T18: what a candidate costs beside its scoring, and what a long search keeps in memory: stub workers of 0 s."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.figures import Figure, below, exactly
from chaos.stub import StubTask
from chaos.tiny import tiny
from db.records import State
from db.store import open_store
from glora_search.control import Control
from glora_search.display import Advance
from glora_search.driving import driving
from glora_search.inputs import prepare
from glora_search.searching import search
from glora_search.settings import read_config
from supernet.trained import Trained
from workers.evaluator import Evaluator, Scorable
from workers.pools import open_pool

EARLY = 1000  # candidates after which memory is looked at for the first time


class StubPool:
    """A pool whose workers answer from the genome's hash."""

    def __init__(self, pool: object) -> None:
        self.pool = pool

    @contextmanager
    def evaluator(self, task: Scorable, patience: float = 1.0) -> Iterator[Evaluator]:
        with self.pool.evaluator(StubTask(task.numerics), patience) as evaluator:  # type: ignore[attr-defined]
            yield evaluator


class Watching:
    """A display that calls back once so many outcomes are recorded."""

    def __init__(self, count: int, act: Callable[[], None]) -> None:
        self.count, self.act = count, act

    def note(self, text: str) -> None:
        pass

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        yield lambda done, text: self.act() if done == self.count else None


def overhead(folder: Path, candidates: int = 10_000, workers: int = 2) -> list[Figure]:
    """A search of so many candidates whose evaluations take no time, on Ray and in process."""
    return [
        *_overhead(folder / "local", candidates, "local", 1, "in process"),
        *_overhead(folder / "ray", candidates, "ray", workers, f"on {workers} Ray actors"),
    ]


def _overhead(folder: Path, candidates: int, backend: str, count: int, where: str) -> list[Figure]:
    sizes = {"population": 50, "generations": (candidates - 50) // 50, "crossover": 25, "mutation": 25}
    settings = read_config(tiny(folder, search=sizes, workers={"backend": backend, "count": count, "threads": 1}))
    inputs, held = prepare(settings), list[int]()
    with open_store(str(folder / "glora.db")) as store, open_pool(settings.workers) as pool:
        store.create_campaign(settings.name, settings.model_dump(mode="json"), settings.seed)
        numerics, _ = pool.probe()
        store.set_state(settings.name, State.SEARCHING)
        watching = Watching(min(EARLY, candidates // 2), lambda: held.append(memory()))
        with driving(store, settings.name) as fenced:  # every write asks for the lease, as a driver's does
            control = Control(fenced, settings.name)
            begin = time.perf_counter()
            search(inputs, Trained({}, 0.0), numerics, StubPool(pool), fenced, watching, control)  # type: ignore[arg-type]
            taken = time.perf_counter() - begin
        held.append(memory())
        progress = store.progress(settings.name)
    grown = (held[-1] - held[0]) / 2**20
    return [
        exactly(f"stub candidates completed or raced, {where}", progress.completed + progress.raced, candidates),
        below(f"our own time for each, {where}", 1000 * taken / candidates, 10, "ms"),
        below(f"memory that the driver grew by after {EARLY:,} candidates, {where}", grown, 50, "MiB"),
    ]


def memory() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
