"""Hand genomes to Ray actors: one in flight an actor, our own retry, a hard timeout.

Ray's queue is left empty on purpose: with candidates queued up front, every death of an actor spends a retry of all of
them. Only the candidate that was running when its actor died is charged with an attempt.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from supernet.errors import BadInput
from supernet.evaluation import Hopeless
from workers import versions
from workers.actors import ScoringActor
from workers.evaluator import Failure, Outcome, Scorable
from workers.settings import WorkerSettings

# How Ray says that a worker is gone; that its monitor killed one for the machine's memory is no RayActorError.
DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError)
LOADS = 3  # times in a row that actors may die while loading before the pool gives up


@dataclass
class Slot:
    """A place for one actor, which may be replaced; it outlives the evaluators that use it."""

    name: str
    options: dict[str, Any]  # what the actor reserves
    actor: Any = None
    call: Any = None  # the object ref under way: loading, or a candidate
    index: int | None = None  # of the candidate under way
    since: float = 0.0
    deaths: int = field(default=0)  # while loading, in a row


class RayEvaluator:
    """The evaluator port on actors that each hold the supernet and the split."""

    def __init__(self, task: Scorable, settings: WorkerSettings, slots: Sequence[Slot], patience: float = 1.0) -> None:
        self.settings, self.slots, self.task = settings, slots, ray.put(task)
        self.timeout = settings.timeout * patience  # seconds
        for slot in self.slots:
            self._load(slot)

    def evaluate(self, genomes: Iterable[str], hopeless: Hopeless | None = None) -> Iterator[tuple[int, Outcome]]:
        """As outcomes arrive. Raises BadInput if no worker can load the supernet."""
        fresh, exhausted = enumerate(genomes), False
        again: deque[tuple[int, str]] = deque()  # candidates whose worker died
        flying: dict[int, str] = {}
        tries: Counter[int] = Counter()
        try:
            while again or flying or not exhausted:
                for slot in self.slots:
                    if slot.call is None and (again or not exhausted):
                        index, genome = again.popleft() if again else next(fresh, (None, ""))
                        if index is None:
                            exhausted = True
                            break
                        flying[index] = genome
                        slot.index, slot.since = index, time.monotonic()
                        slot.call = slot.actor.score.remote(genome, hopeless)
                for slot, index, outcome in self._arrivals() if flying or again or not exhausted else ():
                    genome = flying.pop(index)
                    if outcome is None:  # the actor died under it
                        tries[index] += 1
                        if tries[index] < self.settings.attempts:
                            again.append((index, genome))
                            continue
                        outcome = Failure("worker died", f"{tries[index]} workers died of it.", 0.0, slot.name)
                    yield index, outcome
        finally:  # a consumer that leaves early must not meet the rest of this call in its next one
            for slot in self.slots:
                if slot.index is not None:
                    self._start(slot)

    def _arrivals(self) -> list[tuple[Slot, int, Outcome | None]]:
        """Wait for the next event; (slot, candidate, outcome or None if the actor died) of what has ended."""
        busy = {slot.call: slot for slot in self.slots if slot.call is not None}
        deadlines = [slot.since + self.timeout for slot in self.slots if slot.index is not None]
        patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        ray.wait(list(busy), num_returns=1, timeout=patience)
        done, _ = ray.wait(list(busy), num_returns=len(busy), timeout=0)  # all: the consumer may have been away long
        ended = [found for call in done if (found := self._collect(busy[call])) is not None]
        return ended + [self._give_up(slot) for slot in self.slots if self._late(slot)]

    def _collect(self, slot: Slot) -> tuple[Slot, int, Outcome | None] | None:
        """What a finished call brought; None for a load."""
        index, call, slot.index, slot.call = slot.index, slot.call, None, None
        try:
            outcome: Outcome | None = ray.get(call)
        except DEATHS:
            outcome = None
            slot.deaths += index is None
            if slot.deaths >= LOADS:
                raise BadInput(
                    f"{LOADS} workers in a row died while loading the supernet: too little memory? Lower workers.count."
                ) from None
            self._start(slot)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, BadInput) else error) from None
        else:
            slot.deaths = 0
        return None if index is None else (slot, index, outcome)

    def _late(self, slot: Slot) -> bool:
        return slot.index is not None and time.monotonic() - slot.since >= self.timeout

    def _give_up(self, slot: Slot) -> tuple[Slot, int, Outcome]:
        """A hung actor ignores a cancellation; it is killed and replaced."""
        assert slot.index is not None
        seconds = time.monotonic() - slot.since
        index, message = slot.index, f"No result within {self.timeout:g} s (workers.timeout)."
        self._start(slot)
        return slot, index, Failure("timeout", message, seconds, slot.name)

    def _start(self, slot: Slot) -> None:
        """A new actor in this place, loading."""
        stop(slot)
        self._load(slot)

    def _load(self, slot: Slot) -> None:
        """Have the slot's actor, or a new one, load the task."""
        if slot.actor is None:
            slot.actor = ray.remote(ScoringActor).options(**slot.options).remote(slot.name)
        slot.index, slot.call = None, slot.actor.load.remote(self.task, versions.here())


def stop(slot: Slot) -> None:
    """Kill the slot's actor, if it has one."""
    if slot.actor is not None:
        ray.kill(slot.actor)
    slot.actor = slot.index = slot.call = None
