"""A place for one Ray actor and the candidates that are with it: one runs, and one more may lie ready behind it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from supernet.errors import BadInput
from workers import versions
from workers.actors import ScoringActor
from workers.evaluator import Outcome
from workers.spare import Spare
from workers.waiting import Candidate

# How Ray says that a worker is gone; that its monitor killed one for the machine's memory is no RayActorError, nor that
# an answer too large to travel with the call was lost with its node.
DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)


@dataclass
class Slot:
    """A place for one actor, which may be replaced; it outlives the evaluators that use it.

    An actor answers in the order it was asked: of two candidates with it the first runs and the second waits. When it
    dies it dies of the first, unless the first was just done and its answer died with it. So both go alone afterwards.
    """

    name: str
    options: dict[str, Any]  # what the actor reserves
    spare: Spare | None = None  # shared with other places
    task: Any = None  # the object ref of what it loads
    actor: Any = None
    loading: Any = None  # an object ref, until it has loaded
    given: deque[tuple[Candidate, Any]] = field(default_factory=deque)  # with their object refs, the running one first
    since: float = 0.0  # when the running one was given, or known to be next
    deaths: int = 0  # while loading, in a row

    @property
    def idle(self) -> bool:
        return self.call is None

    @property
    def open(self) -> bool:
        """Whether one candidate may lie ready behind the running one."""
        return self.loading is None and len(self.given) == 1 and not self.given[0][0].alone

    @property
    def call(self) -> Any:
        """The object ref that ends next: of loading, or of the running candidate; None if the actor is idle."""
        return self.loading or (self.given[0][1] if self.given else None)

    def load(self, task: Any) -> None:
        """Have the actor, or the spare, or a new one, load the task."""
        if self.actor is None and self.spare is not None:
            self.actor = self.spare.take()
        if self.actor is None:
            self.actor = ray.remote(ScoringActor).options(**self.options).remote()
        self.task, self.loading = task, self.actor.load.remote(self.name, task, versions.here())

    def submit(self, candidate: Candidate) -> None:
        """The candidate runs when those before it are done."""
        if not self.given:
            self.since = time.monotonic()
        self.given.append((candidate, self.actor.score.remote(candidate.genome, candidate.hopeless)))

    def collect(self) -> tuple[Candidate, Outcome] | None:
        """What the call that ended brought; None for a load. Raises one of DEATHS, or the BadInput of a load."""
        outcome = _get(self.call)
        self.deaths = 0
        if self.loading is not None:
            self.loading = None
            return None
        candidate, _ = self.given.popleft()
        self.since = time.monotonic()  # now, and not when it began: a dawdling consumer is not charged to the next one
        if self.spare is not None:
            self.spare.prepare()  # not before: it would compete with the actors that are loading
        return candidate, outcome

    def late(self) -> tuple[Candidate, Outcome] | None:
        """What the running candidate brought after all, once its actor was given up."""
        ready, _ = ray.wait([self.call], timeout=0)
        try:
            return self.collect() if ready else None
        except DEATHS:
            return None

    def replace(self) -> list[Candidate]:
        """A new actor in this place, loading; the candidates that were with the old one, the running one first."""
        left = [candidate for candidate, _ in self.given]
        self.stop()
        self.load(self.task)
        return left

    def stop(self) -> None:
        """Kill the actor, if there is one: one that hangs ignores a cancellation."""
        self.kill()
        self.loading = None
        self.given.clear()

    def kill(self) -> None:
        """The actor alone; what it was given stays to be looked at."""
        if self.actor is not None:
            ray.kill(self.actor)
        self.actor = None


def _get(call: Any) -> Any:
    """The call's result. A BadInput arrives as the worker said it."""
    try:
        return ray.get(call)
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, BadInput) else error) from None
