"""A campaign's driver as a process of its own, to be killed.

It runs the campaign that the CLI would run, on the pool that the config names, and logs a line for each thing that an
outsider has to know: `start GENOME` in a worker, `step N` of the training, `done N` once N outcomes are acknowledged.
Checkpoints are kept after every step, and a lease is stale at once, since whoever had it was killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from db.records import EvaluationKey, Outcome
from db.store import Store
from glora_search import campaign, driving, evolution, shared_weights
from glora_search.crash_points import VARIABLE
from glora_search.display import Advance
from glora_search.places import Places
from glora_search.settings import read_config
from supernet.evaluation import Hopeless, Measurement
from supernet.numerics import Numerics
from supernet.training import TrainingTask
from workers.evaluator import Evaluator, Scorable, Scoring
from workers.pools import open_pool
from workers.settings import WorkerSettings
from workers.trainer import Pool


@dataclass(frozen=True)
class Log:
    """Lines of many processes, each written whole."""

    path: Path

    def say(self, line: str) -> None:
        place = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(place, f"{line}\n".encode())
        os.close(place)


@dataclass(frozen=True)
class Logged:
    """A scorable that says what it begins to score."""

    task: Scorable
    log: Log

    @property
    def numerics(self) -> Numerics:
        return self.task.numerics

    def scorer(self) -> LoggedScorer:
        return LoggedScorer(self.task.scorer(), self.log)


@dataclass
class LoggedScorer:
    scorer: Scoring
    log: Log

    @property
    def numerics(self) -> Numerics:
        return self.scorer.numerics

    def check(self) -> None:
        self.scorer.check()

    def parameters(self, genome: str) -> int:
        return self.scorer.parameters(genome)

    def score(self, genome: str, hopeless: Hopeless | None = None, chunk: int | None = None) -> Measurement:
        self.log.say(f"start {genome}")
        return self.scorer.score(genome, hopeless, chunk)


@dataclass(frozen=True)
class LoggingPool:
    """The pool of the config; what the search asks of it is logged, what the report asks is not."""

    pool: Any
    log: Log

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool, name)

    @contextmanager
    def evaluator(self, task: Scorable, patience: float = 1.0) -> Iterator[Evaluator]:
        searching = patience == 1.0
        with self.pool.evaluator(Logged(task, self.log) if searching else task, patience) as evaluator:
            yield evaluator


@dataclass(frozen=True)
class Counting:
    """A display that says how many outcomes are acknowledged, and how far the training is."""

    log: Log

    def note(self, text: str) -> None:
        self.log.say(f"note {text}")

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        word = {"search": "done", "train supernet": "step"}.get(title, "other")
        yield lambda done, text: self.log.say(f"{word} {done}")


def late_writes() -> None:
    """Outcomes are acknowledged before they are written: up to seven are lost when the driver dies."""
    write, waiting = Store.record, list[tuple[Any, ...]]()

    def record(self: Store, name: str, candidate_id: int, key: EvaluationKey, outcome: Outcome) -> Outcome:
        waiting.append((self, name, candidate_id, key, outcome))
        if len(waiting) > 7 or len(waiting) >= self.progress(name).proposed:
            while waiting:
                write(*waiting.pop(0))
        return outcome

    Store.record = record  # type: ignore[method-assign]


def forgotten_seed() -> None:
    """Every process draws its generations anew."""
    evolution.stream = lambda *key: np.random.default_rng()  # type: ignore[attr-defined]


def forgotten_moments() -> None:
    """A resumed training begins with an optimizer that remembers nothing."""
    run = TrainingTask.run

    def forgetful(self: TrainingTask) -> Any:
        if (start := self.start) is not None:
            nothing = {name: np.zeros_like(start.state[name]) for name in ("m", "v", "t")}
            self = replace(self, start=replace(start, state={**start.state, **nothing}))
        return run(self)

    TrainingTask.run = forgetful  # type: ignore[method-assign]


BREAKS: dict[str, Callable[[], None]] = {
    "late writes": late_writes,
    "forgotten seed": forgotten_seed,
    "forgotten moments": forgotten_moments,
}


def drive(config: str, db: str, runs: str, log: str, output: str, crash_at: str = "", broken: str = "") -> None:
    """Carry the campaign to its end, or to the crash point named; `broken` is a name in BREAKS."""
    to = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(to, 1)
    os.dup2(to, 2)
    os.environ[VARIABLE] = crash_at
    shared_weights.CHECKPOINT_EVERY = 0.0
    driving.STALE_AFTER = timedelta(0)
    if broken:
        BREAKS[broken]()

    @contextmanager
    def pools(settings: WorkerSettings) -> Iterator[Pool]:
        with open_pool(settings) as pool:
            yield LoggingPool(pool, Log(Path(log)))

    campaign.run(read_config(Path(config)), db, Places(Path(runs)), Counting(Log(Path(log))), pools)
