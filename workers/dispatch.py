"""Hand genomes to Ray actors: one running and one ready an actor, our own retry, a hard timeout.

Ray's own queue is kept that short on purpose: with all candidates queued up front, every death of an actor spends a
retry of all of them. Here only the candidate that was running is charged with an attempt.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import ray

from supernet.errors import BadInput
from workers.evaluator import Failure, Outcome, Rules, Scorable, unraced
from workers.settings import WorkerSettings
from workers.slots import DEATHS, Slot
from workers.waiting import Candidate, Waiting

LOADS = 3  # times in a row that actors may die while loading before the pool gives up


class RayEvaluator:
    """The evaluator port on actors that each hold the supernet and the split."""

    def __init__(self, task: Scorable, settings: WorkerSettings, slots: Sequence[Slot], patience: float = 1.0) -> None:
        self.settings, self.slots = settings, slots
        self.timeout = settings.timeout * patience  # seconds
        shared = ray.put(task)
        for slot in self.slots:
            slot.load(shared)

    def evaluate(self, genomes: Iterable[str | None], hopeless: Rules = unraced) -> Iterator[tuple[int, Outcome]]:
        """As outcomes arrive. Raises BadInput if no worker can load the supernet."""
        yield from self.drain(Waiting(genomes, hopeless))

    def drain(self, waiting: Waiting) -> Iterator[tuple[int, Outcome]]:
        """The outcomes of all that waits, as they arrive. Raises BadInput if no worker can load the supernet."""
        deaths = Counter[int]()
        try:
            while self._hand_out(waiting):
                for candidate, outcome in self._arrivals(waiting, deaths):
                    yield candidate.index, outcome
        finally:  # a consumer that leaves early must not meet the rest of this call in its next one
            for slot in self.slots:
                if slot.given:
                    slot.replace()

    @property
    def ready(self) -> bool:
        """Whether a worker has loaded, or has failed to."""
        loading = [slot.loading for slot in self.slots if slot.loading is not None]
        return len(loading) < len(self.slots) or bool(ray.wait(loading, timeout=0)[0])

    def _hand_out(self, waiting: Waiting) -> bool:
        """To idle actors first, then one ahead to each; whether there is anything to wait for."""
        for slot in self.slots:
            if slot.idle and (candidate := waiting.take()) is not None:
                slot.submit(candidate)
        for slot in self.slots:
            if slot.open and (candidate := waiting.take(ahead=True)) is not None:
                slot.submit(candidate)
        return bool(waiting) or any(slot.given for slot in self.slots)

    def _arrivals(self, waiting: Waiting, deaths: Counter[int]) -> list[tuple[Candidate, Outcome]]:
        """Wait for the next event; what has come of candidates by then. Those whose worker died may go back."""
        busy = {slot.call: slot for slot in self.slots if slot.call is not None}
        deadlines = [slot.since + self.timeout for slot in self.slots if slot.given]
        patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        ray.wait(list(busy), num_returns=1, timeout=patience)
        done, _ = ray.wait(list(busy), num_returns=len(busy), timeout=0)  # all: the consumer may have been away long
        ended = [found for call in done if (found := self._collect(busy[call], waiting, deaths)) is not None]
        return ended + [self._give_up(slot, waiting) for slot in self.slots if self._overdue(slot)]

    def _collect(self, slot: Slot, waiting: Waiting, deaths: Counter[int]) -> tuple[Candidate, Outcome] | None:
        """What a call that ended brought; None for a load, and for a candidate that is to be tried again."""
        with suppress(*DEATHS):
            return slot.collect()
        if slot.loading is not None:
            self._load_again(slot)
            return None
        running, *behind = (replace(candidate, alone=True) for candidate in slot.replace())
        waiting.put_back(behind)
        deaths[running.index] += 1
        if deaths[running.index] >= self.settings.attempts:
            return running, Failure("worker died", f"{deaths[running.index]} workers died of it.", 0.0, slot.name)
        waiting.put_back([running])
        return None

    def _load_again(self, slot: Slot) -> None:
        """Raises BadInput if this place loses one actor after the other."""
        slot.deaths += 1
        if slot.deaths < LOADS:
            slot.replace()
            return
        slot.stop()
        slot.deaths = 0
        raise BadInput(
            f"{LOADS} workers in a row died while loading the supernet: too little memory? Lower workers.count."
        )

    def _overdue(self, slot: Slot) -> bool:
        return bool(slot.given) and time.monotonic() - slot.since >= self.timeout

    def _give_up(self, slot: Slot, waiting: Waiting) -> tuple[Candidate, Outcome]:
        """Presume the actor dead. A result that came in before it was killed counts all the same."""
        seconds = time.monotonic() - slot.since
        slot.kill()
        late = slot.late()
        left = slot.replace()
        if late is None:
            message = f"No result within {self.timeout:g} s (workers.timeout)."
            late = left.pop(0), Failure("timeout", message, seconds, slot.name)
        waiting.put_back(left)
        return late
